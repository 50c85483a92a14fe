"""A wall clock that a test turns by hand."""

from __future__ import annotations

noon_ns = 1_700_000_000 * 1_000_000_000
"""Some moment in November 2023, so that no test depends on today."""


class HandClock:
    """Stands still until it is turned. Call it for Unix nanoseconds."""

    def __init__(self, now_ns: int = noon_ns) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
