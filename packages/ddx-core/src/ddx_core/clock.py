"""Wall-clock time as the APIs speak it: Unix nanoseconds, and RFC 3339 text turned into them. Pure but for `now_ns`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from .errors import MalformedInput

WallClock = Callable[[], int]
"""Gives Unix nanoseconds. Code that needs the time takes one of these, so that a test can turn it."""

ns_per_s = 1_000_000_000
ns_per_ms = 1_000_000

now_ns: WallClock = time.time_ns

_epoch = datetime(1970, 1, 1, tzinfo=UTC)


def parse_rfc3339_ns(text: str) -> int:
    """`2022-10-21T14:05:03.165Z` → Unix nanoseconds. Fractions of any length are kept up to nine digits.

    Raises MalformedInput for anything else.
    """
    try:
        whole, dot, rest = text.partition(".")
        if not dot:
            return _seconds(text) * ns_per_s
        digits = 0
        while digits < len(rest) and rest[digits].isdigit():
            digits += 1
        fraction = int(rest[:digits][:9].ljust(9, "0")) if digits else 0
        return _seconds(whole + (rest[digits:] or "Z")) * ns_per_s + fraction
    except (ValueError, OverflowError) as error:
        raise MalformedInput(f"{text[:40]!r} is no RFC 3339 time") from error


def _seconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _epoch) // timedelta(seconds=1)
