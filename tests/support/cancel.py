"""Cancel an operation at its 1st, 2nd, … scheduling step, until one run gets through.

Every buffer, pool, queue and flush should pass this: whatever step the cancellation hits, nothing is lost and nothing leaks.
A step is one scheduling of the operation's task or of a task below it; tasks elsewhere (a server in the same test) do not
count, so the number of runs depends on the operation alone.

    async def send_all() -> None:
        nonlocal state
        state = fresh_state()
        await state.flush()

    def check(completed: bool) -> None:
        assert state.account.snapshot().closes
        if completed:
            assert state.is_empty

    await cancel_at_every_step(send_all, check)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


async def cancel_at_every_step(
    make_operation: Callable[[], Awaitable[object]],
    check_after: Callable[[bool], Awaitable[object] | None],
    *,
    max_steps: int = 5_000,
) -> int:
    """Run `make_operation()` again and again, each time cancelling it one step later; returns how many steps there were.

    `make_operation` is an async function, or a plain one that sets up fresh state and returns the coroutine to run.
    `check_after` (plain or async) is called after every run, outside the cancelled scope, with whether the operation
    ran to its end. An exception of either one ends the test, with the step noted on it.
    """
    for step in range(1, max_steps + 1):
        run = _Run(step)
        try:
            await run.execute(make_operation)
            checking = check_after(run.completed)
            if checking is not None:
                await checking
        except Exception as failure:
            failure.add_note(f"when cancelled at scheduling step {step} ({'' if run.cancelled else 'not '}reached)")
            raise
        if not run.cancelled:
            assert run.completed
            return step - 1
    raise AssertionError(f"the operation has not ended after {max_steps} scheduling steps")


class _Run(trio.abc.Instrument):
    """One run, cancelled just before its `step`-th step (that step and the others see it at their next checkpoint)."""

    def __init__(self, step: int) -> None:
        self._steps_left = step
        self._nursery: trio.Nursery | None = None
        self.cancelled = False
        self.completed = False

    async def execute(self, make_operation: Callable[[], Awaitable[object]]) -> None:
        operation = make_operation()

        failures: list[Exception] = []

        async def run() -> None:
            try:
                await operation
                self.completed = True
            except Exception as failure:
                failures.append(failure)

        trio.lowlevel.add_instrument(self)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(run)
        finally:
            trio.lowlevel.remove_instrument(self)
        for failure in failures:
            raise failure  # as it is, not in the nursery's group

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.cancelled or not self._is_ours(task):
            return
        self._steps_left -= 1
        if self._steps_left == 0:
            self.cancelled = True
            assert self._nursery is not None
            self._nursery.cancel_scope.cancel()

    def _is_ours(self, task: trio.lowlevel.Task) -> bool:
        nursery = task.parent_nursery
        while nursery is not None:
            if nursery is self._nursery:
                return True
            nursery = nursery.parent_task.parent_nursery
        return False
