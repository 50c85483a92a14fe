"""128-bit trace ids, which travel in two halves."""

from __future__ import annotations

mask64 = (1 << 64) - 1


def upper_half(digits: str) -> int:
    """The upper 64 bits from the hex digits of `_dd.p.tid`; 0 when they are none."""
    try:
        return int(digits, 16) & mask64 if digits else 0
    except ValueError:
        return 0
