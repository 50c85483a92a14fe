"""Time that also passes while the sandbox is frozen, whatever the monotonic clock does there."""

from __future__ import annotations

import trio

from ddx_core.clock import WallClock, ns_per_ms


class Elapsed:
    """Milliseconds since it was made, never going back: between two readings the larger of wall and monotonic time counts."""

    def __init__(self, wall_clock: WallClock) -> None:
        self._wall_clock = wall_clock
        self._monotonic_s = trio.current_time()
        self._wall_ns = wall_clock()
        self._ms = 0.0

    def ms(self) -> int:
        monotonic_s, wall_ns = trio.current_time(), self._wall_clock()
        self._ms += max((monotonic_s - self._monotonic_s) * 1000, (wall_ns - self._wall_ns) / ns_per_ms, 0.0)
        self._monotonic_s, self._wall_ns = monotonic_s, wall_ns
        return int(self._ms)
