"""What a trace's spans say of each other: its root, sampling priority, origin, and which spans are service entries. Pure."""

from __future__ import annotations

from ..span import Span, priority_unset

priority_key = "_sampling_priority_v1"
origin_key = "_dd.origin"
payload_keys = ("env", "version", "_dd.hostname", "runtime-id")
"""What spans say of their sender."""


def find_root(spans: list[Span]) -> Span:
    """The last span without a parent; else the last whose parent is not among `spans`; else the last one."""
    for span in reversed(spans):
        if not span.parent_id:
            return span
    ids = {span.span_id for span in spans}
    for span in reversed(spans):
        if span.parent_id not in ids:
            return span
    return spans[-1]


def find_priority(spans: list[Span], root: Span) -> int:
    """The root's sampling priority, else that of the first span which has one, else `priority_unset`."""
    priority = root.metrics.get(priority_key)
    if priority is None:
        for span in spans:
            priority = span.metrics.get(priority_key)
            if priority is not None:
                break
        else:
            return priority_unset
    # Not a number, or out of the range of its field: as good as none.
    return int(priority) if -(2**31) <= priority < 2**31 else priority_unset


def mark_top_level(spans: list[Span], parents: dict[int, str] | None = None) -> None:
    """Mark the spans that enter a service: no parent here, or one of another service.

    `parents` are services of spans that are not here, but in other parts of the same trace.
    """
    services = {span.span_id: span.service for span in spans}
    if parents:
        services = parents | services
    for span in spans:
        # 0 is no span's id, so a span without a parent needs no question of its own.
        if services.get(span.parent_id) != span.service:
            span.metrics["_top_level"] = 1.0


def adopt_top_level(spans: list[Span]) -> None:
    """The same mark where the tracer has worked it out: `_dd.top_level` with any value."""
    for span in spans:
        if "_dd.top_level" in span.metrics:
            span.metrics["_top_level"] = 1.0
