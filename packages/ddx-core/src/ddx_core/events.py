"""Messages of the Extensions API and the Telemetry API, parsed one by one into precise types. Pure.

Rules: an event of an unknown type, or one that does not fit its type, costs that event alone and is counted; unknown
fields are ignored; absence is None. Times are Unix nanoseconds; durations keep the unit in their name.
Source of the shapes: AWS Lambda Developer Guide, "Telemetry API event schema reference" and "Extensions API".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, TypeGuard, cast

import msgspec

from .clock import parse_rfc3339_ns
from .errors import LifecycleError, MalformedInput

# --- Extensions API ---------------------------------------------------------------------------------------------------


class Invoke(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A function invocation begins. `deadline_ms` is the Unix time in ms at which it times out."""

    request_id: str
    deadline_ms: int
    invoked_function_arn: str = ""


class Shutdown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The environment ends. `deadline_ms`: the Unix time in ms at which this process is killed, 0 when not known.

    `reason` is in lower case: spindown, timeout, failure, or whatever else the platform says.
    """

    reason: str = msgspec.field(name="shutdownReason", default="unknown")
    deadline_ms: int = 0


class _NextBody(msgspec.Struct):
    event_type: str = msgspec.field(name="eventType")


_next_body = msgspec.json.Decoder(_NextBody)
_invoke = msgspec.json.Decoder(Invoke)
_shutdown = msgspec.json.Decoder(Shutdown)


def parse_next(body: bytes) -> Invoke | Shutdown:
    """The body of an answer to `next`. Raises LifecycleError for an event type nobody subscribed to, or nonsense."""
    try:
        kind = _next_body.decode(body).event_type
        if kind == "INVOKE":
            return _invoke.decode(body)
        if kind == "SHUTDOWN":
            return _read_shutdown(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise LifecycleError(f"the answer to next makes no sense: {error}") from error
    raise LifecycleError(f"the answer to next has the unknown event type {kind!r}")


def _read_shutdown(body: bytes) -> Shutdown:
    try:
        event = _shutdown.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        # That the environment ends is what matters; a reason or a deadline of an unknown form must not hide it.
        return Shutdown()
    return Shutdown(reason=event.reason.lower(), deadline_ms=event.deadline_ms)


# --- Telemetry API ----------------------------------------------------------------------------------------------------


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

_platform_types: tuple[type[Any], ...] = (
    InitStart,
    InitRuntimeDone,
    InitReport,
    Start,
    RuntimeDone,
    Report,
    RestoreStart,
    RestoreRuntimeDone,
    RestoreReport,
    ExtensionState,
    TelemetrySubscription,
    LogsDropped,
)
_platform_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    kind.type: msgspec.json.Decoder(kind) for kind in _platform_types
}


class TelemetryBatch(msgspec.Struct, kw_only=True):
    """One delivery. `skipped` counts the events left out, by reason: `unknown:<type>`, `malformed:<type>`, `malformed`."""

    events: list[TelemetryEvent]
    skipped: Counter[str]


class _Envelope(msgspec.Struct, gc=False):
    time: str
    type: str
    record: Any


class _RawEnvelope(msgspec.Struct, gc=False):
    time: str
    type: str
    record: msgspec.Raw


# One pass over the whole delivery is several times cheaper than a decoder's call for every record.
_batch = msgspec.json.Decoder(list[_Envelope])
_loose_batch = msgspec.json.Decoder(list[msgspec.Raw])
_envelope = msgspec.json.Decoder(_Envelope)
_raw_envelope = msgspec.json.Decoder(_RawEnvelope)
_encode = msgspec.json.Encoder().encode
_exact_whole = 1 << 53
# What decoders raise: MsgspecError and UnicodeDecodeError are ValueErrors.
_unreadable = (ValueError, RecursionError)
_unreadable_event = (*_unreadable, MalformedInput)


def parse_telemetry(body: bytes) -> TelemetryBatch:
    """A delivery of the Telemetry API: a JSON array of events. Raises MalformedInput when it is no array at all."""
    batch = TelemetryBatch(events=[], skipped=Counter())
    try:
        envelopes = _batch.decode(body)
    except _unreadable:
        envelopes = _parse_loosely(body, batch.skipped)
    take = batch.events.append
    last_time, last_ns = "", 0
    for envelope in envelopes:
        kind, record = envelope.type, envelope.record
        try:
            if envelope.time != last_time:
                last_ns = parse_rfc3339_ns(envelope.time)
                last_time = envelope.time
            if kind == "function" or kind == "extension":
                from_extension = kind == "extension"
                if type(record) is str:
                    take(LogLine(time_ns=last_ns, from_extension=from_extension, text=record))
                elif _is_object(record):
                    take(LogLine(time_ns=last_ns, from_extension=from_extension, fields=record))
                else:
                    batch.skipped[f"malformed:{kind}"] += 1
            elif (decoder := _platform_decoders.get(kind)) is not None:
                take(msgspec.structs.replace(_decode_record(decoder, record), time_ns=last_ns))
            else:
                batch.skipped[f"unknown:{kind[:60]}"] += 1
        except _unreadable_event:
            last_time = ""
            batch.skipped[f"malformed:{kind[:60]}"] += 1
    return batch


def _decode_record(decoder: msgspec.json.Decoder[Any], record: Any) -> Any:
    """Raises ValueError. What is null or an empty object counts as absent, and whole numbers may be written as 128.0."""
    try:
        return decoder.decode(_encode(record))
    except msgspec.ValidationError:
        return decoder.decode(_encode(_plain(record)))


def _plain(value: Any) -> Any:
    if _is_object(value):
        members = ((key, _plain(member)) for key, member in value.items())
        return {key: member for key, member in members if member is not None and member != {}}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if type(value) is float and value.is_integer() and abs(value) < _exact_whole:
        return int(value)
    return value


def _is_object(record: Any) -> TypeGuard[dict[str, Any]]:
    return type(record) is dict


def _parse_loosely(body: bytes, skipped: Counter[str]) -> list[_Envelope]:
    """Event by event, and mended where that helps."""
    try:
        raws = _cut_batch(body)
    except _unreadable:
        try:
            raws = _cut_batch(_mend(body))
        except _unreadable as error:
            raise MalformedInput(f"telemetry is no JSON array of events: {error}") from error
    envelopes: list[_Envelope] = []
    for raw in raws:
        envelope = _read_envelope(bytes(raw))
        if envelope is None:
            skipped["malformed"] += 1
        else:
            envelopes.append(envelope)
    return envelopes


def _cut_batch(body: bytes) -> Sequence[msgspec.Raw | bytes]:
    try:
        return _loose_batch.decode(body)
    except RecursionError:
        # A record is nested too deeply for the decoder even to pass it over.
        from .cut_json import cut_json

        return cut_json(_mend(body))


def _read_envelope(raw: bytes) -> _Envelope | None:
    for candidate in (raw, _as_utf8(raw)):
        with suppress(*_unreadable):
            return _envelope.decode(candidate)
    # Numbers too large for a float, objects nested too deeply: of a line the text can be shipped all the same.
    with suppress(*_unreadable):
        loose = _read_raw_envelope(_as_utf8(raw))
        text = bytes(loose.record).decode()
        if text.startswith("{"):
            return _Envelope(loose.time, loose.type, text)
    return None


def _read_raw_envelope(raw: bytes) -> _RawEnvelope:
    try:
        return _raw_envelope.decode(raw)
    except RecursionError:
        from .cut_json import cut_json

        members = cut_json(raw)
        (record,) = [member for member in members if member.startswith(b'"record"')]
        others = [member for member in members if member is not record]
        envelope = _raw_envelope.decode(b"{%b}" % b",".join([*others, b'"record":null']))
        envelope.record = msgspec.Raw(record.partition(b":")[2].strip())
        return envelope


# A surrogate that lacks its other half; whole pairs and other escapes match too, so that their parts are not looked at.
_surrogates = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


# Within text JSON wants them escaped. Line ends may stand between the events, where an escape would be wrong.
_control_characters = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def _mend(body: bytes) -> bytes:
    """What a function printed may be cut within a character, or hold what JSON does not allow; one such line must not cost
    the batch it came in."""
    mended = _surrogates.sub(lambda found: b"\\ufffd" if found[1] else found[0], _as_utf8(body))
    return _control_characters.sub(lambda found: b"\\u%04x" % found[0][0], mended)


def _as_utf8(raw: bytes) -> bytes:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace").encode()
    return raw
