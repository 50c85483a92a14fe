"""start_contained: one signal's failure ends with that signal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio

from ddx_core.pipeline import FlushKind, start_contained
from ddx_core.stats import Account

Serve = Callable[["Signal", trio.TaskStatus[None]], Awaitable[None]]


class Signal:
    """A pipeline whose `serve` is the test's."""

    name = "logs"

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.events: list[str] = []

    @property
    def accounts(self) -> Sequence[Account]:
        return ()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self._serve(self, task_status)

    async def flush(self, kind: FlushKind) -> None:
        raise NotImplementedError


async def serve_well(signal: Signal, task_status: trio.TaskStatus[None]) -> None:
    signal.events.append("bound")
    task_status.started()
    try:
        await trio.sleep_forever()
    finally:
        signal.events.append("stopped")


async def fail_to_start(signal: Signal, task_status: trio.TaskStatus[None]) -> None:
    raise OSError("port taken")


async def fail_in_a_child(signal: Signal, task_status: trio.TaskStatus[None]) -> None:
    async def child() -> None:
        raise ValueError("a defect")

    async with trio.open_nursery() as nursery:
        task_status.started()
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(child)


async def never_say_started(signal: Signal, task_status: trio.TaskStatus[None]) -> None:
    await trio.lowlevel.checkpoint()


async def test_it_returns_once_the_signal_serves() -> None:
    signal = Signal(serve_well)
    async with trio.open_nursery() as nursery:
        await start_contained(nursery, signal)
        assert signal.events == ["bound"]
        nursery.cancel_scope.cancel()
    assert signal.events == ["bound", "stopped"]


@pytest.mark.parametrize("serve", [fail_to_start, fail_in_a_child, never_say_started])
async def test_an_exception_inside_a_tree_ends_there_and_is_reported(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Signal(serve), Signal(serve_well)
    async with trio.open_nursery() as nursery:
        await start_contained(nursery, sound)
        await start_contained(nursery, broken)
        await trio.testing.wait_all_tasks_blocked()
        assert sound.events == ["bound"]
        nursery.cancel_scope.cancel()
    assert "signal_stopped about=logs" in caplog.text


async def test_cancellation_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        await start_contained(nursery, Signal(serve_well))
        nursery.cancel_scope.cancel()
    assert not caplog.text


async def test_a_failure_on_the_way_out_is_contained_too(caplog: pytest.LogCaptureFixture) -> None:
    async def fail_at_the_end(signal: Signal, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while closing")

    async with trio.open_nursery() as nursery:
        await start_contained(nursery, Signal(fail_at_the_end))
        nursery.cancel_scope.cancel()
    assert "while closing" in caplog.text
