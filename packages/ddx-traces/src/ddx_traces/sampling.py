"""What tracers have decided about sampling, carried out: needed where statistics are counted here, before it. Pure."""

from __future__ import annotations

from typing import Final

from .span import TraceChunk, priority_unset

user_keep: Final = 2
span_sampled_key: Final = "_dd.span_sampling.mechanism"


def keep_sampled(chunk: TraceChunk) -> int:
    """Take the spans of a chunk that was not kept out of it, but for those that a rule for single spans has chosen.

    Returns how many that were.
    """
    if chunk.priority > 0 or chunk.priority == priority_unset:
        return 0
    before = len(chunk.spans)
    chunk.spans = [span for span in chunk.spans if span_sampled_key in span.metrics]
    # As the vendor's agent has it: the chunk goes on with what was chosen, and is kept.
    chunk.priority = user_keep
    return before - len(chunk.spans)
