"""Contexts: tags sorted and without repeats, resources taken out, too many refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_metrics.context import Context, TooManyTags, context_of, encodable, make_context
from ddx_metrics.sample import MetricType, Sample


def tags_of(*tags: str) -> tuple[str, ...]:
    return make_context("m", MetricType.COUNT, tags).tags


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), ()),
        (("",), ()),
        (("b:1", "a:2"), ("a:2", "b:1")),
        (("a", "b", "a"), ("a", "b")),
        (("key:", "key"), ("key",)),
        (("lang:go:and:something:else",), ("lang:go:and:something:else",)),
        (("url:http:",), ("url:http:",)),
        (("v1.65.1",), ("v1.65.1",)),
        (("host:h", "device:d"), ("device:d", "host:h")),
    ],
)
def test_tags_are_sorted_and_without_repeats(given: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert tags_of(*given) == expected


def test_one_hundred_different_tags_pass_and_one_more_does_not() -> None:
    assert len(tags_of(*(f"tag{i}" for i in range(100)))) == 100
    with pytest.raises(TooManyTags):
        tags_of(*(f"tag{i}" for i in range(101)))
    assert len(tags_of(*["a", "b", "c"] * 50)) == 3


def test_resource_tags_become_resources() -> None:
    context = make_context("m", MetricType.GAUGE, ["dd.internal.resource:aws_rds:db-1", "x:y"])
    assert (context.tags, context.resources) == (("x:y",), (("aws_rds", "db-1"),))
    malformed = make_context("m", MetricType.GAUGE, ["dd.internal.resource:", "dd.internal.resource:x"])
    assert (malformed.tags, malformed.resources) == ((), ())


def test_too_many_resources_are_refused_like_tags() -> None:
    resources = [f"dd.internal.resource:host:h{number}" for number in range(60)]
    assert len(make_context("m", MetricType.GAUGE, resources * 2).resources) == 60
    with pytest.raises(TooManyTags):
        make_context("m", MetricType.GAUGE, [*resources, *(f"tag{number}" for number in range(41))])


def test_the_type_is_part_of_a_context() -> None:
    assert make_context("m", MetricType.GAUGE, []) != make_context("m", MetricType.COUNT, [])


def test_text_that_utf_8_cannot_carry_is_replaced() -> None:
    assert encodable("plain") == "plain"
    assert encodable("é") == "é"
    assert encodable("a\udcffb") == "a?b"
    assert context_of(Sample(name="n\udcff", value=1.0, tags=("t\udcff",))).tags == ("t?",)


@given(st.lists(st.text(max_size=8), max_size=20), st.randoms())
def test_the_order_of_tags_makes_no_difference(tags: list[str], random: object) -> None:
    shuffled = list(tags)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_context("m", MetricType.COUNT, tags) == make_context("m", MetricType.COUNT, shuffled)
    assert hash(make_context("m", MetricType.COUNT, tags)) == hash(make_context("m", MetricType.COUNT, shuffled))


def test_the_order_of_resources_makes_no_difference_and_none_comes_twice() -> None:
    one = make_context("m", MetricType.COUNT, ["dd.internal.resource:host:h", "dd.internal.resource:device:d"])
    other = make_context("m", MetricType.COUNT, ["dd.internal.resource:device:d", *["dd.internal.resource:host:h"] * 2])
    assert one == other
    assert one.resources == (("device", "d"), ("host", "h"))


def test_size_grows_with_text() -> None:
    long = Context("name", MetricType.COUNT, (), (("host", "h" * 100),))
    assert long.size > Context("name", MetricType.COUNT, (), (("host", "h"),)).size + 90
    assert long.size > Context("name", MetricType.COUNT).size + 200
    assert Context("name", MetricType.COUNT, ("a" * 100,)).size > Context("name", MetricType.COUNT).size + 100
