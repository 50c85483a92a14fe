"""Times as the APIs write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.clock import parse_rfc3339_ns
from ddx_core.errors import MalformedInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1_000_000),
        ("2022-10-21T14:05:03.165Z", 1666361103_165_000_000),
        ("2022-10-21T16:05:03.165+02:00", 1666361103_165_000_000),
        ("2022-10-21T14:05:03Z", 1666361103_000_000_000),
        ("2022-10-21T14:05:03", 1666361103_000_000_000),
        ("2022-10-21T14:05:03.123456789Z", 1666361103_123_456_789),
        ("2022-10-21T14:05:03.1234567891234Z", 1666361103_123_456_789),
        ("2022-10-21T14:05:03.-05:00", 1666379103_000_000_000),
        ("1969-12-31T23:59:59.250Z", -750_000_000),
    ],
)
def test_times_of_the_lambda_apis_are_read(text: str, expected: int) -> None:
    assert parse_rfc3339_ns(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2022-10-21",
        "2022-W42-5",
        "20221021T140503Z",
        "2022-13-01T00:00:00Z",
        "2022-10-21T25:00:00Z",
        "2022-10-21T14:05:03.165X",
        "٢٠٢٢-10-21T14:05:03Z",
        "2022-10-21T14:05:03.²Z",
        "9999999999-01-01T00:00:00Z",
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(MalformedInput):
        parse_rfc3339_ns(text)


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(MalformedInput):
        assert isinstance(parse_rfc3339_ns(text), int)


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_what_datetime_writes_is_read_back(moment: datetime, offset_minutes: int, precision: str) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    digits = {"seconds": 1_000_000, "milliseconds": 1000, "microseconds": 1}[precision]
    microseconds = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert parse_rfc3339_ns(aware.isoformat(timespec=precision)) == microseconds // digits * digits * 1000
