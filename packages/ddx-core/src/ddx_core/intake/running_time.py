"""A limit in the time of a running process: what a frozen sandbox spends frozen is not held against an attempt.

Rule of this file: no clock is trusted alone. Ticks of the event loop count, and the wall clock tells which of them a freeze
has made long.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from ..clock import WallClock, ns_per_s

tick_s: Final = 1.0
thaw_after_s: Final = 5.0
"""A tick that took this much longer on the wall clock than it should: the process was frozen."""
thaw_grace_s: Final = 3.0
"""An answer that came during a freeze lies in the socket; none within this time after a thaw means a dead connection."""


class RunningTimeLimit:
    """`thawed`: the process was frozen meanwhile, which cut the time short."""

    __slots__ = ("thawed",)

    def __init__(self) -> None:
        self.thawed = False


@asynccontextmanager
async def running_time_limit(seconds: float, wall_clock: WallClock) -> AsyncGenerator[RunningTimeLimit]:
    """Leave the block after `seconds` of a running process; a freeze of any length counts as one tick.

    After a freeze no more than `thaw_grace_s` are left.
    """
    limit = RunningTimeLimit()

    async def watch(scope: anyio.CancelScope) -> None:
        left = seconds
        while left > 0:
            tick = min(tick_s, left)
            before_ns = wall_clock()
            await anyio.sleep(tick)
            left -= tick
            if wall_clock() - before_ns > (tick + thaw_after_s) * ns_per_s and left > thaw_grace_s:
                limit.thawed = True
                left = thaw_grace_s
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        yield limit
        group.cancel_scope.cancel()
