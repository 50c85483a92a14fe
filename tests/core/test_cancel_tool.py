"""The cancellation tool itself: a tool that cancels too little proves nothing."""

from __future__ import annotations

import pytest
import trio

from tests.support.cancel import cancel_at_every_step


async def test_every_checkpoint_of_an_operation_is_cancelled_once() -> None:
    ends: list[int] = []
    reached = 0

    async def operation() -> None:
        nonlocal reached
        reached = 0
        for _ in range(4):
            await trio.lowlevel.checkpoint()
            reached += 1

    steps = await cancel_at_every_step(operation, lambda completed: ends.append(reached if not completed else -1))
    assert steps == 5  # the start of the task and one step after each checkpoint
    # Cancelled before its start or before the step behind its first checkpoint it has reached nothing, and so on.
    assert ends == [0, 0, 1, 2, 3, -1]


async def test_steps_of_child_tasks_count_and_steps_of_strangers_do_not() -> None:
    async def stranger() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async def child() -> None:
        await trio.lowlevel.checkpoint()

    async def operation() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stranger)
        steps = await cancel_at_every_step(operation, lambda _: None)
        nursery.cancel_scope.cancel()
    assert steps == 4


async def test_what_the_check_finds_names_the_step() -> None:
    async def operation() -> None:
        await trio.lowlevel.checkpoint()

    def check(completed: bool) -> None:
        assert completed, "half done"

    with pytest.raises(AssertionError, match="half done") as caught:
        await cancel_at_every_step(operation, check)
    assert caught.value.__notes__ == ["when cancelled at scheduling step 1 (reached)"]


async def test_an_operation_without_end_is_reported() -> None:
    async def operation() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="has not ended"):
        await cancel_at_every_step(operation, lambda _: None, max_steps=20)
