"""Bodies of `/api/v0.2/traces`: an AgentPayload with the tracers' payloads in it, of either generation.

`trace_messages.py` has the field numbers of the first, `trace_messages_v1.py` of the second, whose strings are indices
into a table. Both end as the same `Span`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ..items import Span, SpanEvent, SpanLink, TracePayload
from . import wire
from .errors import DecodeError
from .trace_ids import upper_half_of_chunk
from .trace_messages import AnyValue, TraceChunk, TracerPayload, agent_envelope, agent_payload
from .trace_messages import Span as SpanMessage
from .traces_v1 import spans_v1


def decode_traces(body: bytes, *, request: int) -> list[Span]:
    payload = wire.read_message(agent_payload, body)
    agent = TracePayload(
        agent_hostname=payload.host_name,
        agent_env=payload.env,
        agent_version=payload.agent_version,
        agent_tags=payload.tags,
        target_tps=_finite(payload.target_tps),
        error_tps=_finite(payload.error_tps),
        rare_sampler=payload.rare_sampler,
    )
    spans: list[Span] = []
    chunk_number = 0
    for tracer in payload.tracer_payloads:
        about = _about(agent, tracer)
        for chunk in tracer.chunks:
            high = upper_half_of_chunk(span.meta for span in chunk.spans)
            spans.extend(_span(span, chunk, about, chunk_number, high, request) for span in chunk.spans)
            chunk_number += 1
    for tracer in payload.tracer_payloads_v1:
        spans.extend(spans_v1(tracer, agent, first_chunk=chunk_number, request=request))
        chunk_number += len(tracer.chunks)
    return spans


def count_spans(body: bytes) -> int:
    """How many spans there are, without reading them: for loads at which only the number matters."""
    payload = wire.read_message(agent_envelope, body)
    return sum(len(chunk.spans) for tracer in payload.tracers for chunk in tracer.chunks)


def _about(agent: TracePayload, tracer: TracerPayload) -> TracePayload:
    return msgspec.structs.replace(
        agent,
        container_id=tracer.container_id,
        language=tracer.language_name,
        language_version=tracer.language_version,
        tracer_version=tracer.tracer_version,
        runtime_id=tracer.runtime_id,
        env=tracer.env,
        hostname=tracer.hostname,
        app_version=tracer.app_version,
        tags=tracer.tags,
    )


def _span(
    span: SpanMessage, chunk: TraceChunk, about: TracePayload, chunk_number: int, trace_id_high: int, request: int
) -> Span:
    return Span(
        request=request,
        payload=about,
        chunk=chunk_number,
        priority=chunk.priority,
        origin=chunk.origin,
        chunk_tags=chunk.tags,
        dropped_trace=chunk.dropped_trace,
        trace_id=span.trace_id,
        trace_id_high=trace_id_high,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        service=span.service,
        resource=span.resource,
        type=span.type,
        start_ns=span.start,
        duration_ns=span.duration,
        error=span.error,
        meta=span.meta,
        # JSON, in which spans are kept, has no infinities and no NaN; nothing that measures gives them.
        metrics={name: value for name, value in span.metrics.items() if math.isfinite(value)},
        meta_struct=span.meta_struct,
        links=tuple(
            SpanLink(
                trace_id=link.trace_id,
                trace_id_high=link.trace_id_high,
                span_id=link.span_id,
                attributes=dict(link.attributes),
                tracestate=link.tracestate,
                flags=link.flags,
            )
            for link in span.links
        ),
        events=tuple(
            SpanEvent(time_ns=event.time, name=event.name, attributes=_plain(event.attributes)) for event in span.events
        ),
    )


def _plain(attributes: Mapping[str, AnyValue]) -> dict[str, Any]:
    return {name: _value(value) for name, value in attributes.items()}


def _value(value: AnyValue) -> Any:
    match value.type:
        case 0:
            return value.string
        case 1:
            return value.boolean
        case 2:
            return value.integer
        case 3:
            return value.double
        case 4:
            return [_value(each) for each in value.array.values] if value.array is not None else []
        case other:
            raise DecodeError(f"attribute type {other} is not one of 0 to 4")


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
