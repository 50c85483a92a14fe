"""What an answer means, how long to wait, when a breaker opens: the pure parts of the intake."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.intake import ApiKey, RetryPolicy, StaticKey
from ddx_core.intake.breaker import Breaker, opens_after
from ddx_core.intake.retry import Verdict, judge, parse_retry_after
from tests.support.builders import a_payload


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([200, 202, 204, 299], Verdict.DELIVERED),
        ([401, 403], Verdict.KEY_REFUSED),
        ([408, 425, 429, 500, 502, 503, 504, 599], Verdict.RETRY),
        ([301, 302, 400, 402, 404, 405, 409, 413, 415, 422, 431, 451], Verdict.PERMANENT),
    ],
)
def test_statuses_are_told_apart(statuses: list[int], verdict: Verdict) -> None:
    assert {judge(status) for status in statuses} == {verdict}


@pytest.mark.parametrize(
    ("failures", "chance", "retry_after_s", "expected"),
    [
        (1, 0.0, None, 0.05),
        (1, 1.0, None, 0.1),
        (2, 1.0, None, 0.2),
        (3, 0.5, None, 0.3),
        (20, 1.0, None, 5.0),
        (5000, 1.0, None, 5.0),
        (1, 0.0, 7.0, 7.0),
        (1, 1.0, 0.0, 0.1),
        (20, 0.0, 1.0, 2.5),
    ],
)
def test_pauses_double_up_to_a_cap_and_are_never_shorter_than_asked(
    failures: int, chance: float, retry_after_s: float | None, expected: float
) -> None:
    delay_s = RetryPolicy().delay_s(failures, chance=chance, retry_after_s=retry_after_s)
    assert delay_s == pytest.approx(expected)  # pyright: ignore[reportUnknownMemberType]


now_s = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("999999999999", 86_400.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("Wed, 14 Nov 2029 22:13:00 GMT", 86_400.0),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, now_s=now_s) == expected


@given(
    st.text(max_size=40)
    | st.builds("Tue, {} Nov {} {}:13:50 {}".format, st.integers(), st.integers(), st.integers(), st.text(max_size=4))
)
def test_any_retry_after_gives_a_bounded_pause_or_none(value: str) -> None:
    seconds = parse_retry_after(value, now_s=now_s)
    assert seconds is None or 0 <= seconds <= 86_400


def test_a_breaker_opens_after_failures_in_a_row_and_closes_with_a_delivery() -> None:
    breaker = Breaker()
    for _ in range(opens_after - 1):
        breaker.failed()
        assert not breaker.is_open
    breaker.delivered()
    breaker.failed()
    assert not breaker.is_open
    for _ in range(opens_after):
        breaker.failed()
    assert breaker.is_open
    breaker.delivered()
    assert not breaker.is_open


def test_a_key_does_not_show_itself() -> None:
    key = ApiKey("0123456789abcdef")
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr({"key": key})):
        assert "0123" not in shown
    assert key == ApiKey("0123456789abcdef")
    assert hash(key) == hash(ApiKey("0123456789abcdef"))
    with suppress(TypeError):
        import msgspec

        assert b"0123" not in msgspec.json.encode(key)


async def test_a_static_key_never_changes() -> None:
    source = StaticKey("k")
    key = await source.get()
    assert key is not None
    assert key.value == "k"
    assert not await source.refused(key)
    assert await StaticKey("").get() is None
    assert await StaticKey(None).get() is None


def test_a_payload_knows_its_size() -> None:
    assert a_payload(b"12345").size == 5
