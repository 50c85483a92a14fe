"""What tracers send to an agent: `/v0.3`, `/v0.4` and `/v0.5` traces, in MessagePack.

The intake takes them too, so that a tracer can be pointed at it with no agent between.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec

from ..items import Span, SpanEvent, SpanLink, TracePayload
from .documents import read_msgpack
from .errors import DecodeError
from .trace_ids import upper_half_of_chunk

UInt64 = Annotated[int, msgspec.Meta(ge=0)]
"""MessagePack itself ends at 64 bits."""
Index = Annotated[int, msgspec.Meta(ge=0)]


class _Link(msgspec.Struct, frozen=True):
    trace_id: UInt64
    span_id: UInt64
    trace_id_high: UInt64 = 0
    attributes: dict[str, str] | None = None
    tracestate: str | None = None
    flags: int | None = None


class _Value(msgspec.Struct, frozen=True):
    type: int = 0
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    array_value: _Array | None = None


class _Array(msgspec.Struct, frozen=True):
    values: list[_Value] = []


class _Event(msgspec.Struct, frozen=True):
    time_unix_nano: UInt64 = 0
    name: str = ""
    attributes: dict[str, _Value] | None = None


class _SpanV05(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An array of exactly twelve; texts are indices into the payload's strings."""

    service: Index
    name: Index
    resource: Index
    trace_id: UInt64
    span_id: UInt64
    parent_id: UInt64
    start: int
    duration: int
    error: int
    meta: dict[Index, Index]
    metrics: dict[Index, float]
    type: Index


class _Span(msgspec.Struct, frozen=True):
    service: str | None = None
    name: str | None = None
    resource: str | None = None
    trace_id: UInt64 = 0
    span_id: UInt64 = 0
    parent_id: UInt64 | None = None
    start: int = 0
    duration: int = 0
    error: int = 0
    meta: dict[str, str | None] | None = None
    metrics: dict[str, float | None] | None = None
    type: str | None = None
    meta_struct: dict[str, bytes] | None = None
    span_links: list[_Link] | None = None
    span_events: list[_Event] | None = None


def decode_traces_v04(body: bytes, *, payload: TracePayload, request: int) -> list[Span]:
    traces = read_msgpack(body, list[list[_Span]])
    return [span for number, trace in enumerate(traces) for span in _made(trace, payload, number, request)]


def decode_traces_v05(body: bytes, *, payload: TracePayload, request: int) -> list[Span]:
    strings, traces = read_msgpack(body, tuple[list[str], list[list[_SpanV05]]])
    try:
        resolved = [[_resolve(span, strings) for span in trace] for trace in traces]
    except IndexError as error:
        raise DecodeError(f"an index past the {len(strings)} strings of the payload") from error
    return [span for number, trace in enumerate(resolved) for span in _made(trace, payload, number, request)]


def _resolve(span: _SpanV05, strings: list[str]) -> _Span:
    return _Span(
        service=strings[span.service],
        name=strings[span.name],
        resource=strings[span.resource],
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        start=span.start,
        duration=span.duration,
        error=span.error,
        meta={strings[key]: strings[value] for key, value in span.meta.items()},
        metrics={strings[key]: value for key, value in span.metrics.items()},
        type=strings[span.type],
    )


class _Chunk(msgspec.Struct, frozen=True):
    """What some span of a trace says about all of them, and an agent would say once."""

    number: int
    priority: int
    origin: str
    trace_id_high: int


def _made(trace: list[_Span], payload: TracePayload, number: int, request: int) -> list[Span]:
    metas = [{key: value for key, value in (span.meta or {}).items() if value is not None} for span in trace]
    priorities = ((span.metrics or {}).get("_sampling_priority_v1") for span in trace)
    chunk = _Chunk(
        number=number,
        priority=next((int(each) for each in priorities if each is not None and abs(each) < 1 << 31), 0),
        origin=next((meta["_dd.origin"] for meta in metas if "_dd.origin" in meta), ""),
        trace_id_high=upper_half_of_chunk(metas),
    )
    return [_span(span, meta, chunk, payload, request) for span, meta in zip(trace, metas, strict=True)]


def _span(span: _Span, meta: dict[str, str], chunk: _Chunk, payload: TracePayload, request: int) -> Span:
    metrics = {key: value for key, value in (span.metrics or {}).items() if value is not None and math.isfinite(value)}
    return Span(
        request=request,
        payload=payload,
        chunk=chunk.number,
        priority=chunk.priority,
        origin=chunk.origin,
        chunk_tags={},
        dropped_trace=False,
        trace_id=span.trace_id,
        trace_id_high=chunk.trace_id_high,
        span_id=span.span_id,
        parent_id=span.parent_id or 0,
        name=span.name or "",
        service=span.service or "",
        resource=span.resource or "",
        type=span.type or "",
        start_ns=span.start,
        duration_ns=span.duration,
        error=span.error,
        meta=meta,
        metrics=metrics,
        meta_struct=span.meta_struct or {},
        links=tuple(
            SpanLink(
                trace_id=link.trace_id,
                trace_id_high=link.trace_id_high,
                span_id=link.span_id,
                attributes=dict(link.attributes or {}),
                tracestate=link.tracestate or "",
                flags=link.flags or 0,
            )
            for link in span.span_links or ()
        ),
        events=tuple(
            SpanEvent(
                time_ns=event.time_unix_nano,
                name=event.name,
                attributes={key: _value(value) for key, value in (event.attributes or {}).items()},
            )
            for event in span.span_events or ()
        ),
    )


def _value(value: _Value) -> Any:
    if value.array_value is not None:
        return [_value(each) for each in value.array_value.values]
    for plain in (value.string_value, value.bool_value, value.int_value, value.double_value):
        if plain is not None:
            return plain
    return None
