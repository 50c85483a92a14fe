"""Events of the Telemetry API → records. Pure.

Rule: a record's `request_id` is the one that the event itself names; which invocation a line without one belongs to is
decided in `request_ids`.
"""

from __future__ import annotations

from collections.abc import Callable

from ddx_core.events import InitStart, LogLine, Report, RuntimeDone, Start

from .message import may_be_object, read_object, read_text
from .platform_lines import end_text, init_start_text, report_text, start_text, status_of
from .record import LogRecord, Status


def read_line(line: LogLine, *, find_level: Callable[[str], Status | None] | None = None) -> LogRecord:
    """A line of the function or of an extension. An object that an extension wrote names no invocation.

    `find_level` is asked where a text names no status in the ways that all agree on.
    """
    text = line.text
    if text is None:
        reading = read_object(line.fields or {})
    elif may_be_object(text) or find_level is not None:
        reading = read_text(text)
    else:
        return LogRecord(text, line.time_ns)
    status = reading.status
    if status is None:
        status = (find_level(reading.text) if find_level is not None else None) or Status.INFO
    if line.from_extension:
        return LogRecord(reading.text, line.time_ns, status, None, reading.tags)
    return LogRecord(reading.text, line.time_ns, status, reading.request_id, reading.tags, reading.execution)


def read_init_start(event: InitStart) -> LogRecord:
    return LogRecord(init_start_text(event), event.time_ns)


def read_start(event: Start) -> LogRecord:
    return LogRecord(start_text(event), event.time_ns, request_id=event.request_id or None)


def read_end(event: RuntimeDone) -> LogRecord:
    return LogRecord(end_text(event), event.time_ns, status_of(event), event.request_id or None)


def read_report(event: Report, *, runtime_ms: float) -> LogRecord:
    text = report_text(event, runtime_ms=runtime_ms)
    return LogRecord(text, event.time_ns, status_of(event), event.request_id or None)
