"""TagSet: by key, in order, rendered once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ddx_core.tags import TagSet

pairs = st.lists(st.tuples(st.text("abc:,", max_size=3), st.text("xyz:", max_size=2)), max_size=8)


def test_a_later_value_takes_the_place_of_the_earlier_one() -> None:
    tags = TagSet([("env", "dev"), ("service", "orders"), ("env", "prod")])
    assert tags.joined == "env:prod,service:orders"
    assert list(tags) == [("env", "prod"), ("service", "orders")]
    assert tags.get("env") == "prod"
    assert tags.get("nothing") is None
    assert "env" in tags
    assert len(tags) == 2


def test_a_tag_without_value_is_its_key() -> None:
    assert TagSet([("canary", ""), ("a", "b:c")]).rendered == ("canary", "a:b:c")


def test_nothing_is_rendered_as_nothing() -> None:
    assert TagSet().joined == ""
    assert TagSet().rendered == ()


def test_adding_and_removing_leave_the_original_alone() -> None:
    tags = TagSet([("a", "1")])
    assert tags.with_tags([("b", "2"), ("a", "3")]).joined == "a:3,b:2"
    assert tags.without(["a", "zzz"]).joined == ""
    assert tags.joined == "a:1"
    assert repr(tags) == "TagSet('a:1')"


def test_the_order_counts_for_equality() -> None:
    assert TagSet([("a", "1"), ("b", "2")]) != TagSet([("b", "2"), ("a", "1")])
    assert TagSet([("a", "1")]) != "a:1"


@given(pairs, pairs)
def test_equal_sets_have_equal_hashes_and_renderings(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    first, second = TagSet(one), TagSet(other)
    if first == second:
        assert hash(first) == hash(second)
        assert first.rendered == second.rendered
    assert TagSet(first) == first


@given(pairs)
def test_joined_is_rendered_with_commas(one: list[tuple[str, str]]) -> None:
    tags = TagSet(one)
    assert tags.joined == ",".join(tags.rendered)
    assert len(tags) == len({key for key, _ in one})
