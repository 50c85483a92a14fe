"""What the newer forms say once for a chunk of spans goes where the older ones have it: on the trace's root. Pure."""

from __future__ import annotations

import msgspec

from ..process.context import find_root, origin_key, priority_key
from ..span import Span, priority_unset

upper_id_key = "_dd.p.tid"
decision_key = "_dd.p.dm"


class ChunkFields(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`upper_id`: the upper 64 bits of the trace id; `mechanism`: who decided on sampling."""

    priority: int = priority_unset
    origin: str = ""
    upper_id: int = 0
    mechanism: int | None = None
    tags: dict[str, str] = {}
    numbers: dict[str, float] = {}


def tell_root(spans: list[Span], chunk: ChunkFields) -> None:
    """What the root says itself stands, but for the priority: the chunk's is the later decision."""
    if not spans:
        return
    root = find_root(spans)
    for key, text in chunk.tags.items():
        root.meta.setdefault(key, text)
    for key, number in chunk.numbers.items():
        root.metrics.setdefault(key, number)
    if chunk.priority != priority_unset:
        root.metrics[priority_key] = float(chunk.priority)
    if chunk.origin:
        root.meta.setdefault(origin_key, chunk.origin)
    if chunk.upper_id:
        root.meta.setdefault(upper_id_key, f"{chunk.upper_id:016x}")
    if chunk.mechanism is not None:
        root.meta.setdefault(decision_key, f"-{chunk.mechanism}")
