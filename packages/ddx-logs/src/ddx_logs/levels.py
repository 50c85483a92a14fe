"""Levels that the vendor's extension does not see: numbers, other keys than `level` and `status`, heads of plain lines. Pure.

Only asked where a message has no status that all agree on, and only where the user wants it: what monitors count as errors
changes with it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from .message import named
from .record import Status

_more_named = named | {
    "EMERGENCY": Status.CRITICAL,
    "ALERT": Status.CRITICAL,
    "CRIT": Status.CRITICAL,
    "SEVERE": Status.ERROR,
    "NOTICE": Status.INFO,
    "VERBOSE": Status.DEBUG,
}

# pino and bunyan write `level`; Python's logging calls its own numbers `levelno`, and they mean other things.
_pino = {
    10: Status.TRACE,
    20: Status.DEBUG,
    30: Status.INFO,
    40: Status.WARN,
    50: Status.ERROR,
    60: Status.CRITICAL,
}
_python = {
    10: Status.DEBUG,
    20: Status.INFO,
    30: Status.WARN,
    40: Status.ERROR,
    50: Status.CRITICAL,
}


class _Head(msgspec.Struct, gc=False):
    level: Any = None
    severity: Any = None
    lvl: Any = None
    levelname: Any = None
    levelno: Any = None
    log_level: Any = msgspec.field(name="log.level", default=None)


_head = msgspec.json.Decoder(_Head)


@cache
def _plain() -> re.Pattern[str]:
    # `[ERROR] …`, `ERROR: …`, `2025-06-01 12:00:00,000 ERROR …`, and what Lambda's runtimes begin a line with: time, request id,
    # level. Compiled when first asked for: most never ask, and it would be half a millisecond of every cold start.
    return re.compile(
        r"\s{0,8}(?:\d{4}-\d\d-\d\d[T ][0-9:.,+Z-]{5,30}\s{1,4}(?:(?:[0-9a-f-]{36}|undefined)\s{1,4})?)?"
        r"\[?(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)(?:\][:\s]?|[:|\s]|\Z)"
    )


def find_level(text: str) -> Status | None:
    """The status that a JSON object or a plain line names in one of the further ways."""
    if text.lstrip(" \t\r\n")[:1] == "{":
        try:
            head = _head.decode(text)
        except (ValueError, RecursionError):
            return None
        return (
            _of(head.level, _pino)
            or _of(head.severity, {})
            or _of(head.lvl, _pino)
            or _of(head.levelname, {})
            or _of(head.log_level, _pino)
            or _of(head.levelno, _python)
        )
    found = _plain().match(text)
    return named[found[1]] if found is not None else None


def _of(value: object, numbers: dict[int, Status]) -> Status | None:
    if isinstance(value, str):
        return _more_named.get(value.upper())
    return numbers.get(value) if isinstance(value, int) else None
