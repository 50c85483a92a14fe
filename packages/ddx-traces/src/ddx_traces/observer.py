"""Who else may look at a tracer's spans before they are processed: invocation spans and security have a word in them."""

from __future__ import annotations

from typing import Protocol

from .span import Span, TracerPayload


class ChunkObserver(Protocol):
    """Sees what was decoded, spans sent twice already removed. Synchronous: it stands between a socket and the buffer."""

    def on_chunk(self, spans: list[Span], payload: TracerPayload) -> list[Span]:
        """`spans` are of one trace, or a part of a very long one, and may be changed. Returns those to go on with.

        Spans that are left out of the result are the observer's: it drops them on the account, or holds them (and says
        so with `Account.held_by`) and gives them back later.
        """
        ...
