"""Field numbers of the agents' trace payload: AgentPayload, TracerPayload, TraceChunk, Span and what hangs on them."""

from __future__ import annotations

import msgspec

from . import wire
from .trace_messages_v1 import TracerPayloadV1, tracer_payload_v1


class AnyValue(msgspec.Struct, frozen=True):
    """A value of a span event: `type` says which field holds it."""

    type: int = 0
    string: str = ""
    boolean: bool = False
    integer: int = 0
    double: float = 0.0
    array: ValueArray | None = None


class ValueArray(msgspec.Struct, frozen=True):
    values: tuple[AnyValue, ...] = ()


class SpanLink(msgspec.Struct, frozen=True):
    trace_id: int = 0
    trace_id_high: int = 0
    span_id: int = 0
    attributes: dict[str, str] = {}
    tracestate: str = ""
    flags: int = 0


class SpanEvent(msgspec.Struct, frozen=True):
    time: int = 0
    name: str = ""
    attributes: dict[str, AnyValue] = {}


class Span(msgspec.Struct, frozen=True):
    service: str = ""
    name: str = ""
    resource: str = ""
    trace_id: int = 0
    span_id: int = 0
    parent_id: int = 0
    start: int = 0
    duration: int = 0
    error: int = 0
    meta: dict[str, str] = {}
    metrics: dict[str, float] = {}
    type: str = ""
    meta_struct: dict[str, bytes] = {}
    links: tuple[SpanLink, ...] = ()
    events: tuple[SpanEvent, ...] = ()


class TraceChunk(msgspec.Struct, frozen=True):
    priority: int = 0
    origin: str = ""
    spans: tuple[Span, ...] = ()
    tags: dict[str, str] = {}
    dropped_trace: bool = False


class TracerPayload(msgspec.Struct, frozen=True):
    container_id: str = ""
    language_name: str = ""
    language_version: str = ""
    tracer_version: str = ""
    runtime_id: str = ""
    chunks: tuple[TraceChunk, ...] = ()
    tags: dict[str, str] = {}
    env: str = ""
    hostname: str = ""
    app_version: str = ""


class AgentPayload(msgspec.Struct, frozen=True):
    host_name: str = ""
    env: str = ""
    tracer_payloads: tuple[TracerPayload, ...] = ()
    tags: dict[str, str] = {}
    agent_version: str = ""
    target_tps: float = 0.0
    error_tps: float = 0.0
    rare_sampler: bool = False
    tracer_payloads_v1: tuple[TracerPayloadV1, ...] = ()


any_value = wire.Message(
    AnyValue,
    {
        1: wire.one("type", wire.enum),
        2: wire.one("string", wire.string),
        3: wire.one("boolean", wire.boolean),
        4: wire.one("integer", wire.int64),
        5: wire.one("double", wire.double),
    },
)
any_value.add(6, wire.one("array", wire.Message(ValueArray, {1: wire.many("values", any_value)})))

span_link = wire.Message(
    SpanLink,
    {
        1: wire.one("trace_id", wire.uint64),
        2: wire.one("trace_id_high", wire.uint64),
        3: wire.one("span_id", wire.uint64),
        4: wire.mapping("attributes", wire.string, wire.string),
        5: wire.one("tracestate", wire.string),
        6: wire.one("flags", wire.uint32),
    },
)

span_event = wire.Message(
    SpanEvent,
    {
        1: wire.one("time", wire.fixed_uint64),
        2: wire.one("name", wire.string),
        3: wire.mapping("attributes", wire.string, any_value),
    },
)

span = wire.Message(
    Span,
    {
        1: wire.one("service", wire.string),
        2: wire.one("name", wire.string),
        3: wire.one("resource", wire.string),
        4: wire.one("trace_id", wire.uint64),
        5: wire.one("span_id", wire.uint64),
        6: wire.one("parent_id", wire.uint64),
        7: wire.one("start", wire.int64),
        8: wire.one("duration", wire.int64),
        9: wire.one("error", wire.int32),
        10: wire.mapping("meta", wire.string, wire.string),
        11: wire.mapping("metrics", wire.string, wire.double),
        12: wire.one("type", wire.string),
        13: wire.mapping("meta_struct", wire.string, wire.binary),
        14: wire.many("links", span_link),
        15: wire.many("events", span_event),
    },
)

trace_chunk = wire.Message(
    TraceChunk,
    {
        1: wire.one("priority", wire.int32),
        2: wire.one("origin", wire.string),
        3: wire.many("spans", span),
        4: wire.mapping("tags", wire.string, wire.string),
        5: wire.one("dropped_trace", wire.boolean),
    },
)

tracer_payload = wire.Message(
    TracerPayload,
    {
        1: wire.one("container_id", wire.string),
        2: wire.one("language_name", wire.string),
        3: wire.one("language_version", wire.string),
        4: wire.one("tracer_version", wire.string),
        5: wire.one("runtime_id", wire.string),
        6: wire.many("chunks", trace_chunk),
        7: wire.mapping("tags", wire.string, wire.string),
        8: wire.one("env", wire.string),
        9: wire.one("hostname", wire.string),
        10: wire.one("app_version", wire.string),
    },
)

agent_payload = wire.Message(
    AgentPayload,
    {
        1: wire.one("host_name", wire.string),
        2: wire.one("env", wire.string),
        5: wire.many("tracer_payloads", tracer_payload),
        6: wire.mapping("tags", wire.string, wire.string),
        7: wire.one("agent_version", wire.string),
        8: wire.one("target_tps", wire.double),
        9: wire.one("error_tps", wire.double),
        10: wire.one("rare_sampler", wire.boolean),
        11: wire.many("tracer_payloads_v1", tracer_payload_v1),
    },
)


class EnvelopeChunk(msgspec.Struct, frozen=True):
    spans: tuple[bytes, ...] = ()


class EnvelopeTracer(msgspec.Struct, frozen=True):
    chunks: tuple[EnvelopeChunk, ...] = ()


class Envelope(msgspec.Struct, frozen=True):
    """The same bytes, read no further than to the spans' borders."""

    tracers: tuple[EnvelopeTracer, ...] = ()


_envelope_tracer = wire.Message(
    EnvelopeTracer,
    {6: wire.many("chunks", wire.Message(EnvelopeChunk, {3: wire.many("spans", wire.binary)}))},
)
_envelope_tracer_v1 = wire.Message(
    EnvelopeTracer,
    {11: wire.many("chunks", wire.Message(EnvelopeChunk, {4: wire.many("spans", wire.binary)}))},
)
agent_envelope = wire.Message(
    Envelope,
    {5: wire.many("tracers", _envelope_tracer), 11: wire.many("tracers", _envelope_tracer_v1)},
)
