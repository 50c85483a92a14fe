"""Wall clocks that a test turns by hand, or that run with Trio's clock (which a MockClock may jump)."""

from __future__ import annotations

import trio

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


class TrioWallClock:
    """Runs with Trio's clock; `freeze` adds time that passed for the world but not for this process."""

    def __init__(self) -> None:
        self._frozen_ns = 0

    def __call__(self) -> int:
        return noon_ns + self._frozen_ns + int(trio.current_time() * 1e9)

    def freeze(self, seconds: float) -> None:
        self._frozen_ns += int(seconds * 1e9)
