"""Spans seen before, by their ids: a tracer that got no answer in time sends the same spans again. Pure, bounded."""

from __future__ import annotations

from typing import Final

import msgspec

from ..span import Span

remembered_spans: Final = 8192


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """`spans` are new ones with usable ids; the others are only numbers."""

    spans: list[Span]
    malformed: int
    duplicates: int


class SeenSpans:
    """Remembers the ids of the last `capacity` spans at least, and of twice as many at most.

    Two generations instead of an ordered table: forgetting the oldest one by one would cost more than remembering.
    """

    def __init__(self, capacity: int = remembered_spans) -> None:
        self._capacity = capacity
        self._recent: set[int] = set()
        self._earlier: set[int] = set()

    def admit(self, spans: list[Span]) -> Admitted:
        """Sort out spans without ids and spans seen before, and remember the rest."""
        recent = self._recent
        earlier = self._earlier
        kept: list[Span] = []
        malformed = 0
        for span in spans:
            trace_id = span.trace_id
            span_id = span.span_id
            if not trace_id or not span_id:
                malformed += 1
                continue
            key = trace_id << 64 | span_id
            if key in recent or key in earlier:
                continue
            recent.add(key)
            kept.append(span)
            if len(recent) >= self._capacity:
                earlier = self._earlier = recent
                recent = self._recent = set()
        return Admitted(kept, malformed, len(spans) - len(kept) - malformed)
