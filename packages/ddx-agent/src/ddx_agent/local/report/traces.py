"""Spans as trees, one for each trace. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..intake import Span


class SpanNode(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    service: str
    resource: str
    duration_ms: float
    error: str | None
    span_id: str
    children: tuple[SpanNode, ...]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    trace_id: str
    spans: int
    roots: tuple[SpanNode, ...]


def build_traces(spans: Iterable[Span]) -> list[Trace]:
    """Spans as trees, in the order in which their traces began. A span whose parent is not there is a root."""
    by_trace: dict[int, dict[int, Span]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, {}).setdefault(span.span_id, span)
    traces = [
        (min(span.start_ns for span in members.values()), trace_id, members) for trace_id, members in by_trace.items()
    ]
    return [
        Trace(trace_id=_trace_id(members), spans=len(members), roots=tuple(_forest(members)))
        for _, _, members in sorted(traces, key=lambda each: each[:2])
    ]


def _trace_id(members: dict[int, Span]) -> str:
    """32 hex digits when any of its spans tells the upper half, else 16."""
    low = next(iter(members.values())).trace_id
    high = next((span.trace_id_high for span in members.values() if span.trace_id_high), 0)
    return f"{high:016x}{low:016x}" if high else f"{low:016x}"


def _forest(members: dict[int, Span]) -> list[SpanNode]:
    children: dict[int, list[Span]] = {}
    for span in sorted(members.values(), key=lambda span: (span.start_ns, -span.duration_ns)):
        parent = span.parent_id if span.parent_id in members and span.parent_id != span.span_id else 0
        children.setdefault(parent, []).append(span)
    placed: set[int] = set()

    def node(span: Span) -> SpanNode:
        placed.add(span.span_id)
        below = [child for child in children.get(span.span_id, ()) if child.span_id not in placed]
        return SpanNode(
            name=span.name,
            service=span.service,
            resource=span.resource,
            duration_ms=span.duration_ns / 1e6,
            error=_error(span),
            span_id=f"{span.span_id:016x}",
            children=tuple(node(child) for child in below),
        )

    roots = [node(span) for span in children.get(0, ())]
    # Spans that are each other's parents hang from nothing: they are shown all the same.
    roots += [node(span) for span in members.values() if span.span_id not in placed]
    return roots


def _error(span: Span) -> str | None:
    if not span.error:
        return None
    kind, message = span.meta.get("error.type", ""), span.meta.get("error.message") or span.meta.get("error.msg", "")
    return ": ".join(part for part in (kind, message) if part) or "error"
