"""Flushes that hang: the last one gets what another holds."""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing

from ddx_agent.modes.elapsed import Elapsed
from ddx_agent.modes.flusher import Flusher
from ddx_core.intake.endpoint_queue import last_grace_s
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account


class Pipeline:
    """One flush at a time; one in the background takes `background_s`."""

    name = "test"
    accounts: Sequence[Account] = ()

    def __init__(self, background_s: float) -> None:
        self._background_s = background_s
        self._lock = trio.Lock()
        self.finished: list[FlushKind] = []

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()

    async def flush(self, kind: FlushKind) -> None:
        async with self._lock:
            if kind is FlushKind.BACKGROUND:
                await trio.sleep(self._background_s)
            self.finished.append(kind)


def flusher_of(pipeline: Pipeline) -> Flusher:
    return Flusher([pipeline], Elapsed(lambda: int(trio.current_time() * 1e9)), lambda: False)


async def test_the_last_flush_ends_a_background_flush_that_hangs(autojump_clock: trio.testing.MockClock) -> None:
    pipeline = Pipeline(background_s=10_000)
    flusher = flusher_of(pipeline)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.serve_background)
        flusher.start_in_background()
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await flusher.wait_for(FlushKind.FINAL, seconds=3)
        assert trio.current_time() - began == last_grace_s
        assert pipeline.finished == [FlushKind.FINAL]
        nursery.cancel_scope.cancel()


async def test_the_last_flush_lets_one_that_is_nearly_done_finish(autojump_clock: trio.testing.MockClock) -> None:
    pipeline = Pipeline(background_s=last_grace_s / 2)
    flusher = flusher_of(pipeline)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.serve_background)
        flusher.start_in_background()
        await trio.testing.wait_all_tasks_blocked()
        await flusher.wait_for(FlushKind.FINAL, seconds=3)
        assert pipeline.finished == [FlushKind.BACKGROUND, FlushKind.FINAL]
        nursery.cancel_scope.cancel()


async def test_a_background_flush_ends_with_its_owner(autojump_clock: trio.testing.MockClock) -> None:
    flusher = flusher_of(Pipeline(background_s=10_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.serve_background)
        flusher.start_in_background()
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == began
