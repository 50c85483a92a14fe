"""What the Extensions API and the Telemetry API tell, as precise types, and how their messages are read. Pure."""

from .next_event import Invoke, Shutdown, parse_next
from .parse_telemetry import parse_telemetry
from .telemetry import (
    ExtensionState,
    InitMetrics,
    InitReport,
    InitRuntimeDone,
    InitStart,
    LogLine,
    LogsDropped,
    Report,
    ReportMetrics,
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    RuntimeDone,
    RuntimeDoneMetrics,
    SpanTiming,
    Start,
    TelemetryEvent,
    TelemetrySubscription,
)

__all__ = [
    "ExtensionState",
    "InitMetrics",
    "InitReport",
    "InitRuntimeDone",
    "InitStart",
    "Invoke",
    "LogLine",
    "LogsDropped",
    "Report",
    "ReportMetrics",
    "RestoreReport",
    "RestoreRuntimeDone",
    "RestoreStart",
    "RuntimeDone",
    "RuntimeDoneMetrics",
    "Shutdown",
    "SpanTiming",
    "Start",
    "TelemetryEvent",
    "TelemetrySubscription",
    "parse_next",
    "parse_telemetry",
]
