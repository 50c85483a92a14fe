"""Wall-clock time as the APIs speak it: Unix nanoseconds, and RFC 3339 text turned into them. Pure but for `now_ns`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from .errors import MalformedInput

WallClock = Callable[[], int]
"""Gives Unix nanoseconds. Code that needs the time takes one of these, so that a test can turn it."""

ns_per_s = 1_000_000_000
ns_per_ms = 1_000_000

now_ns: WallClock = time.time_ns

_epoch = datetime(1970, 1, 1, tzinfo=UTC)


def parse_rfc3339_ns(text: str) -> int:
    """`2022-10-21T14:05:03.165Z` → Unix nanoseconds. Fractions of any length are kept up to nine digits.

    A time without an offset is taken as UTC. Raises MalformedInput for anything else.
    """
    try:
        if len(text) == 24 and text[19] == "." and text[23] == "Z" and text[20:23].isdigit() and text.isascii():
            # As Lambda writes it, on every log line.
            return _seconds(text[:19]) * ns_per_s + int(text[20:23]) * ns_per_ms
        whole, dot, rest = text.partition(".")
        if not dot:
            return _seconds(text) * ns_per_s
        digits = len(rest) - len(rest.lstrip("0123456789"))
        fraction = int(rest[:digits][:9].ljust(9, "0")) if digits else 0
        return _seconds(whole + (rest[digits:] or "Z")) * ns_per_s + fraction
    except (ValueError, OverflowError) as error:
        raise MalformedInput(f"{text[:40]!r} is no RFC 3339 time") from error


@lru_cache(maxsize=64)
def _seconds(text: str) -> int:
    """Remembered, since the log lines of one second share it; it depends on nothing but the text."""
    if text[4:5] != "-" or text[7:8] != "-" or text[10:11] not in ("T", "t", " ") or not text.isascii():
        raise ValueError("no date and time")  # fromisoformat takes dates alone, weeks and short forms as well
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _epoch) // timedelta(seconds=1)
