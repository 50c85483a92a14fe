"""Field numbers of the second generation of tracer payloads (`idx` in the agents' definitions).

Every `_ref` is an index into the payload's `strings`, whose first entry is the empty string.
"""

from __future__ import annotations

import msgspec

from . import wire


class AnyValue(msgspec.Struct, frozen=True):
    """Exactly one field is set; none means an empty value."""

    string_ref: int | None = None
    boolean: bool | None = None
    double: float | None = None
    integer: int | None = None
    binary: bytes | None = None
    array: ValueArray | None = None
    key_values: KeyValueList | None = None


class ValueArray(msgspec.Struct, frozen=True):
    values: tuple[AnyValue, ...] = ()


class KeyValue(msgspec.Struct, frozen=True):
    key_ref: int = 0
    value: AnyValue = AnyValue()


class KeyValueList(msgspec.Struct, frozen=True):
    key_values: tuple[KeyValue, ...] = ()


class SpanLinkV1(msgspec.Struct, frozen=True):
    trace_id: bytes = b""
    span_id: int = 0
    attributes: dict[int, AnyValue] = {}
    tracestate_ref: int = 0
    flags: int = 0


class SpanEventV1(msgspec.Struct, frozen=True):
    time: int = 0
    name_ref: int = 0
    attributes: dict[int, AnyValue] = {}


class SpanV1(msgspec.Struct, frozen=True):
    service_ref: int = 0
    name_ref: int = 0
    resource_ref: int = 0
    span_id: int = 0
    parent_id: int = 0
    start: int = 0
    duration: int = 0
    error: bool = False
    attributes: dict[int, AnyValue] = {}
    type_ref: int = 0
    links: tuple[SpanLinkV1, ...] = ()
    events: tuple[SpanEventV1, ...] = ()
    env_ref: int = 0
    version_ref: int = 0
    component_ref: int = 0
    kind: int = 0


class TraceChunkV1(msgspec.Struct, frozen=True):
    priority: int = 0
    origin_ref: int = 0
    attributes: dict[int, AnyValue] = {}
    spans: tuple[SpanV1, ...] = ()
    dropped_trace: bool = False
    trace_id: bytes = b""
    sampling_mechanism: int = 0


class TracerPayloadV1(msgspec.Struct, frozen=True):
    strings: tuple[str, ...] = ()
    container_id_ref: int = 0
    language_name_ref: int = 0
    language_version_ref: int = 0
    tracer_version_ref: int = 0
    runtime_id_ref: int = 0
    env_ref: int = 0
    hostname_ref: int = 0
    app_version_ref: int = 0
    attributes: dict[int, AnyValue] = {}
    chunks: tuple[TraceChunkV1, ...] = ()


any_value = wire.Message(
    AnyValue,
    {
        1: wire.one("string_ref", wire.uint32),
        2: wire.one("boolean", wire.boolean),
        3: wire.one("double", wire.double),
        4: wire.one("integer", wire.int64),
        5: wire.one("binary", wire.binary),
    },
    oneof=True,
)
_key_value = wire.Message(KeyValue, {1: wire.one("key_ref", wire.uint32), 2: wire.one("value", any_value)})
any_value.add(6, wire.one("array", wire.Message(ValueArray, {1: wire.many("values", any_value)})))
any_value.add(7, wire.one("key_values", wire.Message(KeyValueList, {1: wire.many("key_values", _key_value)})))

span_link_v1 = wire.Message(
    SpanLinkV1,
    {
        1: wire.one("trace_id", wire.binary),
        2: wire.one("span_id", wire.fixed_uint64),
        3: wire.mapping("attributes", wire.uint32, any_value),
        4: wire.one("tracestate_ref", wire.uint32),
        5: wire.one("flags", wire.uint32),
    },
)

span_event_v1 = wire.Message(
    SpanEventV1,
    {
        1: wire.one("time", wire.fixed_uint64),
        2: wire.one("name_ref", wire.uint32),
        3: wire.mapping("attributes", wire.uint32, any_value),
    },
)

span_v1 = wire.Message(
    SpanV1,
    {
        1: wire.one("service_ref", wire.uint32),
        2: wire.one("name_ref", wire.uint32),
        3: wire.one("resource_ref", wire.uint32),
        4: wire.one("span_id", wire.fixed_uint64),
        5: wire.one("parent_id", wire.uint64),
        6: wire.one("start", wire.fixed_uint64),
        7: wire.one("duration", wire.uint64),
        8: wire.one("error", wire.boolean),
        9: wire.mapping("attributes", wire.uint32, any_value),
        10: wire.one("type_ref", wire.uint32),
        11: wire.many("links", span_link_v1),
        12: wire.many("events", span_event_v1),
        13: wire.one("env_ref", wire.uint32),
        14: wire.one("version_ref", wire.uint32),
        15: wire.one("component_ref", wire.uint32),
        16: wire.one("kind", wire.enum),
    },
)

trace_chunk_v1 = wire.Message(
    TraceChunkV1,
    {
        1: wire.one("priority", wire.int32),
        2: wire.one("origin_ref", wire.uint32),
        3: wire.mapping("attributes", wire.uint32, any_value),
        4: wire.many("spans", span_v1),
        5: wire.one("dropped_trace", wire.boolean),
        6: wire.one("trace_id", wire.binary),
        7: wire.one("sampling_mechanism", wire.uint32),
    },
)

tracer_payload_v1 = wire.Message(
    TracerPayloadV1,
    {
        1: wire.many("strings", wire.string),
        2: wire.one("container_id_ref", wire.uint32),
        3: wire.one("language_name_ref", wire.uint32),
        4: wire.one("language_version_ref", wire.uint32),
        5: wire.one("tracer_version_ref", wire.uint32),
        6: wire.one("runtime_id_ref", wire.uint32),
        7: wire.one("env_ref", wire.uint32),
        8: wire.one("hostname_ref", wire.uint32),
        9: wire.one("app_version_ref", wire.uint32),
        10: wire.mapping("attributes", wire.uint32, any_value),
        11: wire.many("chunks", trace_chunk_v1),
    },
)
