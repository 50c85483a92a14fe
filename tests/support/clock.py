"""Clocks that a test turns by hand: the wall's, and Trio's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

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


async def until(condition: Callable[[], bool]) -> None:
    """For what nothing tells of. Fails after some seconds of the real time."""
    for _ in range(10_000):
        if condition():
            return
        await wait_all_tasks_blocked(0.001)
    raise AssertionError("it does not come about")


@asynccontextmanager
async def passing(*seconds: float, when: Callable[[], bool] = lambda: True) -> AsyncGenerator[None]:
    """With the `standing_clock`. Beside the block, from `when` on: all tasks go as far as they can, then so many seconds pass
    at once; and so on."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)

    async def pass_time() -> None:
        await until(when)
        for each in seconds:
            await wait_all_tasks_blocked(0.001)
            clock.jump(each)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pass_time)
        yield
