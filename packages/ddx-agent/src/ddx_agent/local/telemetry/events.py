"""Telemetry API events as the platform makes them: one builder per type, in AWS's field names. Pure.

Durations are milliseconds with microsecond resolution, truncated; times are RFC 3339 in UTC with milliseconds.
A field that does not apply is absent, never null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

Record = dict[str, Any]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event, its record already JSON. `object_record` is there when a log line is itself a JSON object."""

    time: str
    type: str
    record: msgspec.Raw
    object_record: msgspec.Raw | None = None

    @property
    def category(self) -> str:
        """What a subscription's `types` would have to name."""
        return "platform" if self.type.startswith("platform.") else self.type

    def encode(self, *, objects: bool) -> bytes:
        record = self.object_record if objects and self.object_record is not None else self.record
        return b'{"time":"%b","type":"%b","record":%b}' % (self.time.encode(), self.type.encode(), bytes(record))


def rfc3339(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def milliseconds(seconds: float) -> float:
    return int(seconds * 1_000_000) / 1000


def platform_event(unix_s: float, name: str, record: Mapping[str, Any]) -> Event:
    """`name` without its prefix; fields that are None are left out."""
    present = {key: value for key, value in record.items() if value is not None}
    return Event(time=rfc3339(unix_s), type=f"platform.{name}", record=msgspec.Raw(msgspec.json.encode(present)))


def log_event(unix_s: float, kind: str, line: str, *, json_format: bool) -> Event:
    """A line of `function` or `extension` output. With the JSON log format a line that is an object stays one."""
    return Event(
        time=rfc3339(unix_s),
        type=kind,
        record=msgspec.Raw(msgspec.json.encode(line)),
        object_record=_as_object(line) if json_format else None,
    )


def _as_object(line: str) -> msgspec.Raw | None:
    if not line.startswith("{"):
        return None
    try:
        parsed = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return msgspec.Raw(line.encode()) if isinstance(parsed, dict) else None


def span(name: str, start_unix_s: float, seconds: float) -> Record:
    return {"name": name, "start": rfc3339(start_unix_s), "durationMs": milliseconds(seconds)}


def tracing(trace_header: str) -> Record:
    return {"type": "X-Amzn-Trace-Id", "value": trace_header}


def init_start(
    *,
    phase: str,
    initialization_type: str,
    function_name: str,
    function_version: str,
    function_arn: str,
    runtime_version: str | None,
    runtime_version_arn: str | None,
    instance_id: str,
    instance_max_memory: int,
) -> Record:
    return {
        "initializationType": initialization_type,
        "phase": phase,
        "runtimeVersion": runtime_version,
        "runtimeVersionArn": runtime_version_arn,
        "functionName": function_name,
        "functionVersion": function_version,
        "functionArn": function_arn,
        "instanceId": instance_id,
        "instanceMaxMemory": instance_max_memory,
    }


def init_runtime_done(*, phase: str, initialization_type: str, status: str, error_type: str | None) -> Record:
    return {
        "initializationType": initialization_type,
        "phase": phase,
        "status": status,
        "errorType": error_type,
    }


def init_report(*, phase: str, initialization_type: str, seconds: float, status: str, error_type: str | None) -> Record:
    return {
        "initializationType": initialization_type,
        "phase": phase,
        "metrics": {"durationMs": milliseconds(seconds)},
        "status": status,
        "errorType": error_type,
    }


def extension(*, name: str, state: str, events: Sequence[str], error_type: str | None) -> Record:
    return {"name": name, "state": state, "events": list(events), "errorType": error_type}


def telemetry_subscription(*, name: str, types: Sequence[str]) -> Record:
    return {"name": name, "state": "Subscribed", "types": list(types)}


def logs_dropped(*, reason: str, records: int, size: int) -> Record:
    return {"reason": reason, "droppedRecords": records, "droppedBytes": size}


def start(*, request_id: str, version: str, trace: Record | None) -> Record:
    return {"requestId": request_id, "version": version, "tracing": trace}


def runtime_done(
    *,
    request_id: str,
    status: str,
    error_type: str | None,
    seconds: float | None,
    produced_bytes: int | None,
    spans: Sequence[Record],
    trace: Record | None,
) -> Record:
    metrics: Record | None = None
    if seconds is not None:
        metrics = {"durationMs": milliseconds(seconds)}
        if produced_bytes is not None:
            metrics["producedBytes"] = produced_bytes
    return {
        "requestId": request_id,
        "status": status,
        "errorType": error_type,
        "metrics": metrics,
        "spans": list(spans) or None,
        "tracing": trace,
    }


def report(
    *,
    request_id: str,
    status: str,
    error_type: str | None,
    seconds: float,
    billed_ms: int,
    memory_mb: int,
    max_memory_mb: int,
    init_seconds: float | None,
    spans: Sequence[Record],
    trace: Record | None,
) -> Record:
    metrics: Record = {
        "durationMs": milliseconds(seconds),
        "billedDurationMs": billed_ms,
        "memorySizeMB": memory_mb,
        "maxMemoryUsedMB": max_memory_mb,
    }
    if init_seconds is not None:
        metrics["initDurationMs"] = milliseconds(init_seconds)
    return {
        "requestId": request_id,
        "status": status,
        "errorType": error_type,
        "metrics": metrics,
        "spans": list(spans) or None,
        "tracing": trace,
    }
