"""The grammar of a DogStatsD line: bytes → values, form and time. Pure.

    <name>:<value>[:<value>…]|<type>[|@<rate>][|#<tag>,…][|T<unix seconds>][|c:…][|e:…][|card:…]

Rules of this file:
- Nothing raises: what cannot be parsed is None. Who takes the line counts it under a Refusal.
- Fields come in any order, repeated ones count once (the last), unknown and empty ones are ignored.
- Numbers are what the protocol calls numbers: Python's own idea of them (`1_000`, blanks) is wider and not used.

Grammar: Datadog documentation, "DogStatsD datagram format and shell usage", protocol v1.0 to v1.3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from math import floor, isfinite, isnan
from typing import Final

import msgspec

from ..sample import MetricType


class Refusal(StrEnum):
    """Why a line, or a value of it, was not taken."""

    MALFORMED = "malformed"
    NOT_FINITE = "not_finite"
    TOO_MANY_TAGS = "too_many_tags"
    EVENT = "event"
    SERVICE_CHECK = "service_check"
    FILTERED = "filtered"


class Form(msgspec.Struct, frozen=True, gc=False):
    """Everything about a line but its name, values and time. `rate` is in (0, 1]."""

    type: MetricType
    tags: Sequence[str] = ()
    rate: float = 1.0


_types: Final = {
    b"c": MetricType.COUNT,
    b"g": MetricType.GAUGE,
    b"s": MetricType.SET,
    b"h": MetricType.HISTOGRAM,
    b"ms": MetricType.HISTOGRAM,
    b"d": MetricType.DISTRIBUTION,
}

# Longer ones carry no more information, and could be made to take long.
_max_number: Final = 400
# `++`: digits are not tried again in other ways, which takes milliseconds for four hundred of them before a letter.
_number: Final = re.compile(rb"[+-]?(?:(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|(?i:inf(?:inity)?|nan))")
_largest_time_s: Final = 2.0**53


def parse_number(text: bytes) -> float | None:
    """A number as the protocol spells it, infinities and NaN included; None for anything else."""
    if len(text) > _max_number or _number.fullmatch(text) is None:
        return None
    return float(text)


def parse_values(text: bytes) -> tuple[list[float], int] | None:
    """`1:2.5:3` → the finite ones and how many were not; empty ones are passed over. None: any is no number, or none is there."""
    values: list[float] = []
    not_finite = 0
    for piece in text.split(b":"):
        if not piece:
            continue
        value = parse_number(piece)
        if value is None:
            return None
        if isfinite(value):
            values.append(value)
        else:
            not_finite += 1
    return (values, not_finite) if values or not_finite else None


def parse_form(rest: bytes) -> Form | None:
    """What follows the first `|` of a line, its time split off; None when the type, the rate or the text of it makes no sense."""
    kind, *fields = rest.split(b"|")
    type = _types.get(kind)
    if type is None:
        return None
    tags: Sequence[str] = ()
    rate = 1.0
    for field in fields:
        mark = field[:1]
        if mark == b"#":
            try:
                tags = field[1:].decode().split(",")
            except UnicodeDecodeError:
                return None
        elif mark == b"@":
            number = parse_number(field[1:])
            if number is None:
                return None
            # A rate says nothing about a last value or about which values there were.
            takes_rate = type is not MetricType.GAUGE and type is not MetricType.SET
            rate = number if takes_rate and 0 < number < 1 else 1.0
    return Form(type, tags, rate)


def parse_time(text: bytes) -> int | None:
    """Unix seconds, rounded to whole ones, half up. None for what is no number or not after 1970 began."""
    number = parse_number(text)
    if number is None or isnan(number) or number < 0.5:
        return None
    # Anything beyond is later than now in any case; integers of this size stay exact and fit the wire.
    return floor(min(number, _largest_time_s) + 0.5)


def split_time(rest: bytes) -> tuple[bytes, bytes | None]:
    """Take the time out of a line's fields: lines that differ in it alone have the same remainder."""
    if b"|T" not in rest:
        return rest, None
    kind, *fields = rest.split(b"|")
    times = [field for field in fields if _is_time(field)]
    if not times:
        return rest, None
    return b"|".join([kind, *(field for field in fields if not _is_time(field))]), times[-1][1:]


def _is_time(field: bytes) -> bool:
    """A `T` before a word is some field that is still to be invented, not a time that makes no sense."""
    return field[:1] == b"T" and not (field[1:2].isalpha() and parse_number(field[1:]) is None)
