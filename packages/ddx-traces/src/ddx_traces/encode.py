"""Spans → the agent payload (`/api/v0.2/traces`). Pure.

Rule of this file: a span is encoded once, when it arrives, and everything later only puts bytes in front of bytes: a Protobuf
message inside another is its bytes behind a field number and a length. The messages themselves are in `ddx_core.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ddx_core.proto import traces_pb2

from .span import AttributeValue, ScalarValue, Span, SpanEvent, SpanLink, TracerPayload

# Field number and wire type (2, length-delimited) of the fields that are put together here by hand.
_agent_payload_tracer_payloads = bytes([5 << 3 | 2])
_tracer_payload_chunks = bytes([6 << 3 | 2])
_chunk_spans = bytes([3 << 3 | 2])

# The rates that the vendor's agents say they aim for; this agent keeps what tracers keep.
target_tps: Final = 60.0
error_tps: Final = 60.0


class EncodedChunk(msgspec.Struct, frozen=True, gc=False):
    """A whole trace chunk, ready to be sent with others of the same request or of others."""

    payload: TracerPayload
    body: bytes
    spans: int


class PayloadDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a tracer payload gets that tells nothing of its own, and the tags of all (`_dd.tags.function`, joined by commas)."""

    env: str = ""
    app_version: str = ""
    function_tags: str = ""


def encode_rest(span: Span) -> bytes:
    """What few spans have: `meta_struct`, links and events."""
    message = traces_pb2.Span()
    if span.meta_struct:
        message.meta_struct.update(span.meta_struct)
    if span.span_links:
        message.spanLinks.extend(map(_link, span.span_links))
    if span.span_events:
        message.spanEvents.extend(map(_event, span.span_events))
    return message.SerializeToString()


def encode_chunks(
    payload: TracerPayload,
    spans: Iterable[tuple[bytes, bytes]],
    *,
    priority: int,
    origin: str,
    max_bytes: int,
    tags: dict[str, str] | None = None,
    was_dropped: bool = False,
) -> Iterator[EncodedChunk]:
    """Put the encoded spans of one trace into as few chunks as `max_bytes` allows (a larger span is alone).

    Each span comes as two pieces, which together are its message.
    """
    head = traces_pb2.TraceChunk(
        priority=priority, origin=origin, tags=tags or None, droppedTrace=was_dropped
    ).SerializeToString()
    pieces = [head]
    size = len(head)
    count = 0
    for body, span_tags in spans:
        length = len(body) + len(span_tags)
        if count and size + length > max_bytes:
            yield EncodedChunk(payload, b"".join(pieces), count)
            pieces = [head]
            size = len(head)
            count = 0
        pieces += (_chunk_spans, varint(length), body, span_tags)
        size += length + 4
        count += 1
    if count:
        yield EncodedChunk(payload, b"".join(pieces), count)


def encode_agent_payload(chunks: Sequence[EncodedChunk], defaults: PayloadDefaults) -> bytes:
    """One agent payload. Chunks of tracers that say the same of themselves go into one tracer payload."""
    groups: dict[bytes, list[bytes]] = {}
    heads: dict[int, bytes] = {}
    for chunk in chunks:
        identity = id(chunk.payload)
        head = heads.get(identity)
        if head is None:
            head = heads[identity] = _encode_head(chunk.payload, defaults)
        groups.setdefault(head, []).append(chunk.body)
    pieces: list[bytes] = [traces_pb2.AgentPayload(targetTPS=target_tps, errorTPS=error_tps).SerializeToString()]
    for head, bodies in groups.items():
        inner = [head]
        for body in bodies:
            inner += (_tracer_payload_chunks, varint(len(body)), body)
        pieces += (_agent_payload_tracer_payloads, varint(sum(map(len, inner))), *inner)
    return b"".join(pieces)


def request_headers(
    payloads: Sequence[TracerPayload], *, dropped_p0_traces: int = 0, dropped_p0_spans: int = 0
) -> tuple[tuple[str, str], ...]:
    """What the intake is told of the tracers whose chunks a request carries.

    One tracer is described, the first that names its language; what several say would fit none of them. What it has done
    itself is told only when that holds for all. `dropped_p0_…`: what tracers have left out by sampling.
    """
    tracers = [payload.tracer for payload in payloads]
    described = next((tracer for tracer in tracers if tracer.language), tracers[0])
    headers = (
        ("Datadog-Meta-Lang", described.language),
        ("Datadog-Meta-Lang-Version", described.language_version),
        ("Datadog-Meta-Lang-Interpreter", described.interpreter),
        ("Datadog-Meta-Lang-Interpreter-Vendor", described.interpreter_vendor),
        ("Datadog-Meta-Tracer-Version", described.version),
        ("Datadog-Container-Id", described.container_id),
        ("Datadog-Client-Computed-Stats", _true(tracer.computed_stats for tracer in tracers)),
        ("Datadog-Client-Computed-Top-Level", _true(tracer.computed_top_level for tracer in tracers)),
        ("Datadog-Client-Dropped-P0-Traces", str(dropped_p0_traces or "")),
        ("Datadog-Client-Dropped-P0-Spans", str(dropped_p0_spans or "")),
        ("Datadog-Send-Real-Http-Status", "1"),
    )
    return tuple((name, value) for name, value in headers if value)


def _true(values: Iterable[bool]) -> str:
    return "true" if all(values) else ""


def _encode_head(payload: TracerPayload, defaults: PayloadDefaults) -> bytes:
    """A tracer payload without its chunks. Two that are equal byte for byte say the same of their tracer."""
    tracer = payload.tracer
    tags = payload.tags
    if defaults.function_tags:
        tags = {**tags, "_dd.tags.function": defaults.function_tags}
    return traces_pb2.TracerPayload(
        containerID=tracer.container_id,
        languageName=tracer.language,
        languageVersion=tracer.language_version,
        tracerVersion=tracer.version,
        runtimeID=payload.runtime_id,
        tags=tags or None,
        env=payload.env or defaults.env,
        hostname=payload.hostname,
        appVersion=payload.app_version or defaults.app_version,
    ).SerializeToString(deterministic=True)


def _link(link: SpanLink) -> traces_pb2.SpanLink:
    return traces_pb2.SpanLink(
        traceID=link.trace_id,
        traceID_high=link.trace_id_high,
        spanID=link.span_id,
        attributes=link.attributes,
        tracestate=link.tracestate,
        flags=link.flags,
    )


def _event(event: SpanEvent) -> traces_pb2.SpanEvent:
    return traces_pb2.SpanEvent(
        time_unix_nano=event.time_unix_nano,
        name=event.name,
        attributes={key: _value(value) for key, value in event.attributes.items()},
    )


def _value(value: AttributeValue) -> traces_pb2.AttributeAnyValue:
    array: traces_pb2.AttributeArray | None = None
    if value.array_value is not None:
        array = traces_pb2.AttributeArray(values=[_scalar(each) for each in value.array_value.values])
    return traces_pb2.AttributeAnyValue(
        type=_any_types[value.type],
        string_value=value.string_value,
        bool_value=value.bool_value,
        int_value=value.int_value,
        double_value=value.double_value,
        array_value=array,
    )


def _scalar(value: ScalarValue) -> traces_pb2.AttributeArrayValue:
    return traces_pb2.AttributeArrayValue(
        type=_scalar_types[value.type],
        string_value=value.string_value,
        bool_value=value.bool_value,
        int_value=value.int_value,
        double_value=value.double_value,
    )


_any_types = traces_pb2.AttributeAnyValue.AttributeAnyValueType.keys()
_scalar_types = traces_pb2.AttributeArrayValue.AttributeArrayValueType.keys()


def varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
