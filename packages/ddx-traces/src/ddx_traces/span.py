"""Spans as tracers describe them, and what is known of who sent them. The struct that is decoded is the one processed.

A span is mutable on purpose: it belongs to one request at a time, each processing step changes it in place, and a copy per
step would cost more than all the steps. Names here are ours; the wire's are the same unless `rename` says otherwise.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

UInt64 = Annotated[int, Meta(ge=0)]
"""MessagePack itself allows nothing above 2**64 - 1."""
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]

max_int64 = 2**63 - 1

priority_unset = -128
"""The priority of a chunk in which no span names one."""


class SpanLink(Struct, kw_only=True, frozen=True):
    """A reference to a span of this or another trace. `flags` has bit 31 set when the W3C trace flags are known."""

    trace_id: UInt64 = 0
    span_id: UInt64 = 0
    trace_id_high: UInt64 = 0
    attributes: dict[str, str] = {}
    tracestate: str = ""
    flags: UInt32 = 0


class ScalarValue(Struct, kw_only=True, frozen=True):
    """`type` says which field counts: 0 string, 1 bool, 2 int, 3 double."""

    type: Annotated[int, Meta(ge=0, le=3)] = 0
    string_value: str = ""
    bool_value: bool = False
    int_value: Int64 = 0
    double_value: float = 0.0


class ArrayValue(Struct, kw_only=True, frozen=True):
    values: list[ScalarValue] = []


class AttributeValue(Struct, kw_only=True, frozen=True):
    """A scalar as above, or with type 4 an array."""

    type: Annotated[int, Meta(ge=0, le=4)] = 0
    string_value: str = ""
    bool_value: bool = False
    int_value: Int64 = 0
    double_value: float = 0.0
    array_value: ArrayValue | None = None


class SpanEvent(Struct, kw_only=True, frozen=True):
    time_unix_nano: UInt64 = 0
    name: str = ""
    attributes: dict[str, AttributeValue] = {}


class Span(Struct, kw_only=True, gc=False):
    """One operation. Times are ns (`start` since the Unix epoch); ids are 64 bits, a trace id's upper half is meta `_dd.p.tid`.

    What a tracer left out is empty or 0, but for the last three fields, which few spans have.
    """

    trace_id: UInt64
    span_id: UInt64
    parent_id: UInt64 = 0
    service: str = ""
    name: str = ""
    resource: str = ""
    type: str = ""
    start: Int64 = 0
    duration: Int64 = 0
    error: Int32 = 0
    meta: dict[str, str] = {}
    metrics: dict[str, float] = {}
    meta_struct: dict[str, bytes] | None = None
    span_links: list[SpanLink] | None = None
    span_events: list[SpanEvent] | None = None


class Tracer(Struct, kw_only=True, frozen=True):
    """What a request's headers say of its sender. `computed_…`: the tracer has done that work itself."""

    language: str = ""
    language_version: str = ""
    interpreter: str = ""
    interpreter_vendor: str = ""
    version: str = ""
    container_id: str = ""
    computed_top_level: bool = False
    computed_stats: bool = False


class TracerPayload(Struct, kw_only=True):
    """What the chunks of one request have in common.

    `runtime_id`, `env`, `hostname` and `app_version` are found in the spans while they are processed. `dropped_p0_…` is
    what the tracer has left out by sampling; it is passed on once, with the next payload, whosever chunks that carries.
    """

    tracer: Tracer = Tracer()
    runtime_id: str = ""
    env: str = ""
    hostname: str = ""
    app_version: str = ""
    dropped_p0_traces: int = 0
    dropped_p0_spans: int = 0
    tags: dict[str, str] = {}


class TraceChunk(Struct, kw_only=True):
    """Spans of one trace that go out together, processed. `was_dropped`: its tracer had left it out by sampling."""

    spans: list[Span]
    priority: int = priority_unset
    origin: str = ""
    tags: dict[str, str] = {}
    was_dropped: bool = False
