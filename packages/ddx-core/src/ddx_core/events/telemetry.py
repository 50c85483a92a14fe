"""The events of the Telemetry API as types. Pure.

Unknown fields are ignored; absence is None. Times are Unix nanoseconds; durations keep the unit in their name.
Source of the shapes: AWS Lambda Developer Guide, "Telemetry API event schema reference".
"""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import msgspec


class SpanTiming(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an invocation measured by the platform: responseLatency, responseDuration, runtimeOverhead, …"""

    name: str
    start: str = ""
    duration_ms: float = 0.0


class _Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    time_ns: int = 0


class InitStart(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.initStart"
    initialization_type: str = "on-demand"
    phase: str = "init"
    runtime_version: str | None = None
    runtime_version_arn: str | None = None


class InitRuntimeDone(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.initRuntimeDone"
    initialization_type: str = "on-demand"
    phase: str | None = None
    status: str = "success"
    error_type: str | None = None


class InitMetrics(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    duration_ms: float


class InitReport(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.initReport"
    initialization_type: str = "on-demand"
    phase: str | None = None
    status: str | None = None
    error_type: str | None = None
    metrics: InitMetrics


class Start(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.start"
    request_id: str
    version: str | None = None
    tenant_id: str | None = None


class RuntimeDoneMetrics(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    duration_ms: float
    produced_bytes: int | None = None


# A runtime that reports an error of its handler may give it any other name that begins with "Runtime.".
_fatal_errors = frozenset({"Runtime.ExitError", "Runtime.OutOfMemory", "Extension.Crash", "Extension.ExitError"})


class RuntimeDone(_Event, frozen=True, kw_only=True, rename="camel"):
    """The runtime has finished one invocation (or was given up); `status` is success, error, failure or timeout."""

    type: ClassVar[str] = "platform.runtimeDone"
    request_id: str
    status: str = "success"
    error_type: str | None = None
    metrics: RuntimeDoneMetrics | None = None
    spans: tuple[SpanTiming, ...] = ()

    @property
    def ends_sandbox(self) -> bool:
        """Lambda resets the sandbox after this; a handler that merely failed keeps it."""
        return self.status in ("timeout", "failure") or self.error_type in _fatal_errors


class ReportMetrics(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """On demand all of the first four are there; Managed Instances give the duration alone."""

    duration_ms: float
    billed_duration_ms: float | None = None
    memory_size_mb: int | None = msgspec.field(name="memorySizeMB", default=None)
    max_memory_used_mb: int | None = msgspec.field(name="maxMemoryUsedMB", default=None)
    init_duration_ms: float | None = None
    restore_duration_ms: float | None = None

    @property
    def is_on_demand(self) -> bool:
        return None not in (self.billed_duration_ms, self.memory_size_mb, self.max_memory_used_mb)


class Report(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.report"
    request_id: str
    status: str = "success"
    error_type: str | None = None
    metrics: ReportMetrics
    spans: tuple[SpanTiming, ...] = ()


class RestoreStart(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.restoreStart"
    runtime_version: str | None = None
    runtime_version_arn: str | None = None


class RestoreRuntimeDone(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.restoreRuntimeDone"
    status: str = "success"
    error_type: str | None = None


class RestoreReport(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.restoreReport"
    status: str = "success"
    error_type: str | None = None
    metrics: InitMetrics | None = None


class ExtensionState(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.extension"
    name: str
    state: str = ""
    events: tuple[str, ...] = ()
    error_type: str | None = None


class TelemetrySubscription(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.telemetrySubscription"
    name: str
    state: str = ""
    types: tuple[str, ...] = ()


class LogsDropped(_Event, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str] = "platform.logsDropped"
    reason: str = ""
    dropped_records: int = 0
    dropped_bytes: int = 0


class LogLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line of the function's or of an extension's output: text, or an object record's fields."""

    time_ns: int
    from_extension: bool = False
    text: str | None = None
    fields: dict[str, Any] | None = None


PlatformEvent = (
    InitStart
    | InitRuntimeDone
    | InitReport
    | Start
    | RuntimeDone
    | Report
    | RestoreStart
    | RestoreRuntimeDone
    | RestoreReport
    | ExtensionState
    | TelemetrySubscription
    | LogsDropped
)
TelemetryEvent = PlatformEvent | LogLine

platform_types: tuple[type[Any], ...] = get_args(PlatformEvent)
