"""What the newer forms say once for a chunk of spans: told with its part, and on the spans where the older forms have it. Pure.

Rule of this file: the origin holds for every span; the rest is on the root, where those look who know the older forms only.
"""

from __future__ import annotations

import msgspec

from ..parts import TracePart
from ..process.context import find_root, origin_key, priority_key
from ..span import Span, priority_unset

upper_id_key = "_dd.p.tid"
decision_key = "_dd.p.dm"


class ChunkFields(msgspec.Struct, kw_only=True, gc=False):
    """`upper_id`: the upper 64 bits of the trace id; `mechanism`: who decided on sampling; `common…`: of the whole request."""

    priority: int = priority_unset
    origin: str = ""
    upper_id: int = 0
    mechanism: int | None = None
    tags: dict[str, str] = {}
    numbers: dict[str, float] = {}
    common: dict[str, str] = {}
    common_numbers: dict[str, float] = {}
    was_dropped: bool = False


def as_texts(tags: dict[str, str], numbers: dict[str, float]) -> dict[str, str]:
    """Chunks and payloads have tags, and no numbers beside them."""
    if not numbers:
        return tags
    return tags | {key: str(int(each)) if each.is_integer() else repr(each) for key, each in numbers.items()}


def tell(part: TracePart, chunk: ChunkFields) -> TracePart:
    """What the root says itself stands, but for the priority: the chunk's is the later decision."""
    spans = part.read.spans
    if not spans:
        return part
    for root in _roots(part):
        _tell_root(root, chunk)
    if chunk.origin:
        for span in spans:
            span.meta.setdefault(origin_key, chunk.origin)
    tags = as_texts(chunk.tags, chunk.numbers)
    if not tags and not chunk.was_dropped:
        return part
    return msgspec.structs.replace(part, tags=tags, was_dropped=chunk.was_dropped)


def _roots(part: TracePart) -> list[Span]:
    """The root, if it is in this part; the outline of a trace in parts has its own, which is told the same."""
    if part.outline is None:
        return [find_root(part.read.spans)]
    root = part.outline.find_root(part.read.spans)
    return [part.outline.root] if root is None else [part.outline.root, root]


def _tell_root(root: Span, chunk: ChunkFields) -> None:
    for key, text in (chunk.common | chunk.tags).items():
        root.meta.setdefault(key, text)
    for key, number in (chunk.common_numbers | chunk.numbers).items():
        root.metrics.setdefault(key, number)
    if chunk.priority != priority_unset:
        root.metrics[priority_key] = float(chunk.priority)
    if chunk.origin:
        root.meta.setdefault(origin_key, chunk.origin)
    if chunk.upper_id:
        root.meta.setdefault(upper_id_key, f"{chunk.upper_id:016x}")
    if chunk.mechanism is not None:
        root.meta.setdefault(decision_key, f"-{chunk.mechanism}")
