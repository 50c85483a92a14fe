"""LogRecord: one log entry on its way from where it was written to the intake. Frozen, plain, known to every part."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """The log statuses that the intake is sent."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    CRITICAL = "critical"


class Execution(msgspec.Struct, frozen=True, gc=False):
    """The execution of a durable function that a line belongs to, and what is told of it (None: nothing)."""

    id: str
    name: str
    first_invocation: bool | None = None
    status: str | None = None


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """`request_id` is the one that the record itself names, None when it names none. `tags` were lifted from its message."""

    text: str
    time_ns: int
    status: Status = Status.INFO
    request_id: str | None = None
    tags: tuple[str, ...] = ()
    execution: Execution | None = None

    @property
    def size(self) -> int:
        """Bytes of the text in UTF-8: what this record counts for in an account."""
        return len(self.text) if self.text.isascii() else len(self.text.encode("utf-8", "replace"))
