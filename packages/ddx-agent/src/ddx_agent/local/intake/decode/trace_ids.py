"""128-bit trace ids, which travel in two halves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

mask64 = (1 << 64) - 1


def upper_half_of_chunk(metas: Iterable[Mapping[str, str]]) -> int:
    """The upper 64 bits of the one trace id of a chunk, which only some of its spans tell, in `_dd.p.tid`; else 0."""
    return next((half for meta in metas if (half := _upper_half(meta.get("_dd.p.tid", "")))), 0)


def _upper_half(digits: str) -> int:
    try:
        return int(digits, 16) & mask64 if digits else 0
    except ValueError:
        return 0
