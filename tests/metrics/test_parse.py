"""The grammar of a line, in pieces: numbers, times, forms. Vectors: DogStatsD documentation, the Agent's tests."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_metrics.dogstatsd import parse
from ddx_metrics.dogstatsd.parse import Form, parse_form, parse_number, parse_time, parse_values, split_time
from ddx_metrics.sample import MetricType


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("1", 1), ("-1", -1), ("+1.5", 1.5), (".5", 0.5), ("5.", 5), ("1e3", 1000), ("1E-3", 0.001),
        ("-.5e+1", -5), ("inf", math.inf), ("-Infinity", -math.inf), ("+INF", math.inf), ("1e999", math.inf),
    ],
)  # fmt: skip
def test_a_number_is_read(text: str, number: float) -> None:
    assert parse_number(text.encode()) == number


def test_not_a_number_is_a_number_as_the_protocol_spells_it() -> None:
    nan = parse_number(b"NaN")
    assert nan is not None
    assert math.isnan(nan)


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "+", "e5", "1e", "1e+", "1_000", " 1", "1 ", "1\n", "0x10", "1,5", "--1", "1-1", "infinit", "١", "9" * 401],
)  # fmt: skip
def test_what_only_python_or_nobody_calls_a_number_is_none(text: str) -> None:
    assert parse_number(text.encode()) is None


@pytest.mark.parametrize("beginning", ["", "1.", ".", "1e"])
def test_digits_before_a_letter_take_no_more_than_linear_time(beginning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line costs little however bad its numbers are: a datagram may hold many. Here they are long, so that it shows."""
    monkeypatch.setattr(parse, "_max_number", 1 << 20)
    started = time.process_time()
    assert parse_number(beginning.encode() + b"1" * 10_000 + b"x") is None
    # Quadratic work takes more than a second.
    assert time.process_time() - started < 0.5


@given(st.floats(allow_nan=False))
def test_every_float_is_read_back_from_its_text(value: float) -> None:
    assert parse_number(repr(value).encode()) == value


packed: list[tuple[str, tuple[list[float], int] | None]] = [
    ("1", ([1.0], 0)),
    ("5:10:15", ([5.0, 10.0, 15.0], 0)),
    ("21::22", ([21.0, 22.0], 0)),
    ("1:nan:2:-inf", ([1.0, 2.0], 2)),
    ("inf", ([], 1)),
    (":", None),
    ("1:x:2", None),
    ("abc", None),
]


@pytest.mark.parametrize(("text", "expected"), packed)
def test_packed_values_are_taken_apart(text: str, expected: tuple[list[float], int] | None) -> None:
    assert parse_values(text.encode()) == expected


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("c", Form(MetricType.COUNT)),
        ("g", Form(MetricType.GAUGE)),
        ("d", Form(MetricType.DISTRIBUTION)),
        ("h", Form(MetricType.HISTOGRAM)),
        ("ms", Form(MetricType.HISTOGRAM)),
        ("s", Form(MetricType.SET)),
        ("c|@0.5", Form(MetricType.COUNT, rate=0.5)),
        ("c|@-0.5", Form(MetricType.COUNT)),
        ("c|@inf", Form(MetricType.COUNT)),
        ("c|@nan", Form(MetricType.COUNT)),
        ("c|@0", Form(MetricType.COUNT)),
        ("c|@1", Form(MetricType.COUNT)),
        ("g|@0.5|#tag1:val1|c:container123", Form(MetricType.GAUGE, ["tag1:val1"])),
        ("g|#tag:val|X123|Yunknown", Form(MetricType.GAUGE, ["tag:val"])),
        ("g||#tag:val||", Form(MetricType.GAUGE, ["tag:val"])),
        ("g|#", Form(MetricType.GAUGE, [""])),
        ("g|m:test", Form(MetricType.GAUGE)),
        ("c|#env:dev,a", Form(MetricType.COUNT, ["env:dev", "a"])),
        ("c|#a|#b|@0.1|@0.2", Form(MetricType.COUNT, ["b"], 0.2)),
        ("c|Tabc|Tinvalid|Transport:udp", Form(MetricType.COUNT)),
        ("d|e:it-false,cn-x,pu-y|card:low", Form(MetricType.DISTRIBUTION)),
    ],
)
def test_a_form_is_read(rest: str, expected: Form) -> None:
    assert parse_form(rest.encode()) == expected


@pytest.mark.parametrize("rest", ["", "z", "C", "mss", "c+a;slda", "|#tag:val", "c|@abc", "c|@", "c|@0.5abc"])
def test_a_form_that_makes_no_sense_is_none(rest: str) -> None:
    assert parse_form(rest.encode()) is None


def test_tags_that_are_no_text_make_no_form() -> None:
    assert parse_form(b"c|#a:\xff") is None


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("1656581409", 1656581409), ("1656581409.123", 1656581409), ("1656581409.5", 1656581410), ("1", 1),
        ("0", None), ("-100", None), ("", None), ("abc", None), ("123abc", None), ("_x", None),
        ("nan", None), ("inf", 2**53), ("1e300", 2**53),
    ],
)  # fmt: skip
def test_times_are_whole_seconds_after_1970_began(text: str, time_s: int | None) -> None:
    assert parse_time(text.encode()) == time_s


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (b"d|#a", (b"d|#a", None)),
        (b"d|#a|T12", (b"d|#a", b"12")),
        (b"d|T12|#a", (b"d|#a", b"12")),
        (b"d|T12|#a|T13", (b"d|#a", b"13")),
        (b"d|#a,T12", (b"d|#a,T12", None)),
        (b"d|T", (b"d", b"")),
        (b"d|Transport", (b"d|Transport", None)),
        (b"d|Transport|T1|#a", (b"d|Transport|#a", b"1")),
        (b"d|T123abc", (b"d", b"123abc")),
        (b"d|T-100", (b"d", b"-100")),
        (b"d|T_x", (b"d", b"_x")),
        (b"d|Tnan", (b"d", b"nan")),
        (b"d|Tinf", (b"d", b"inf")),
    ],
)
def test_the_time_is_split_off(rest: bytes, expected: tuple[bytes, bytes | None]) -> None:
    assert split_time(rest) == expected


@given(st.binary(max_size=60))
def test_nothing_raises(data: bytes) -> None:
    parse_number(data)
    parse_values(data)
    parse_time(data)
    parse_form(data)
    parse_form(b"c|" + data)
    stem, time = split_time(data)
    assert (time is None) == (stem == data)
