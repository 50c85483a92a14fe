"""The agent's own log: an event name in the past tense plus fields, one line each, a thin layer over stdlib logging.

Rule: the same event (with the same `about` and `problem`, when there are such fields) is written at most once in ten seconds;
the next one says how many were left out. Lambda bills the lines and may send them back to us. Never pass payloads, headers or
keys.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import Any

logger = logging.getLogger("ddx")

repeat_after_s = 10.0
max_field_length = 500

_last: dict[tuple[int, str, str, str], tuple[float, int]] = {}


def debug(event: str, **fields: Any) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug(format_event(event, fields))


def info(event: str, **fields: Any) -> None:
    _limited(logging.INFO, event, fields)


def warning(event: str, **fields: Any) -> None:
    _limited(logging.WARNING, event, fields)


def error(event: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
    if exc_info is not None:
        fields["error"] = describe(exc_info)
    _limited(logging.ERROR, event, fields)


def format_event(event: str, fields: dict[str, Any]) -> str:
    """`flush_finished payloads=3 seconds=0.12`; values with spaces are quoted, long ones cut."""
    if not fields:
        return event
    return event + "".join(f" {name}={_value(value)}" for name, value in fields.items())


def describe(failure: BaseException) -> str:
    """The type and text of a failure and the innermost places of ours it came through, on one line."""
    if isinstance(failure, BaseExceptionGroup):
        inner: tuple[BaseException, ...] = failure.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return "; ".join(describe(each) for each in inner[:3])
    places = traceback.extract_tb(failure.__traceback__)[-3:]
    where = " < ".join(f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}" for place in reversed(places))
    return f"{type(failure).__name__}: {failure}" + (f" ({where})" if where else "")


def _limited(level: int, event: str, fields: dict[str, Any]) -> None:
    if not logger.isEnabledFor(level):
        return
    now = time.monotonic()
    key = (level, event, str(fields.get("about", "")), str(fields.get("problem", "")))
    before = _last.get(key)
    if before is not None and now - before[0] < repeat_after_s:
        _last[key] = (before[0], before[1] + 1)
        return
    if before is not None and before[1]:
        fields["repeats_left_out"] = before[1]
    if len(_last) > 1000:
        _last.clear()
    _last[key] = (now, 0)
    logger.log(level, format_event(event, fields))


def _value(value: object) -> str:
    text = str(value)
    if len(text) > max_field_length:
        text = text[:max_field_length] + "…"
    if text.isprintable() and text and not any(character in text for character in ' "='):
        return text
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    if not text.isprintable():
        # Line ends and control characters in a peer's words must not make a second line, nor colour somebody's terminal.
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return f'"{text}"'
