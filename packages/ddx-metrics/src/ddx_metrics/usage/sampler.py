"""UsageSampler: looks for peaks while an invocation runs. The task of it sleeps while none does.

Looking costs CPU that is the function's, so the looks grow rarer the longer an invocation runs; the last one is taken by the
enhanced metrics when they hear of its end. Between invocations, and where no telemetry tells of them, nothing runs.
"""

from __future__ import annotations

from typing import Final

import trio

from ddx_core.events import Report, RuntimeDone, Start
from ddx_core.invocation import Invocation, InvocationObserver

from .values import Usage

first_pause_s: Final = 0.05
longest_pause_s: Final = 1.0


class UsageSampler(InvocationObserver):
    """`one_at_a_time`: the beginning of an invocation is the end of the one before, even if that was not told."""

    name = "usage"

    def __init__(self, usage: Usage, *, one_at_a_time: bool = True) -> None:
        self.usage = usage
        self._one_at_a_time = one_at_a_time
        self._running: set[str] = set()
        self._changed = trio.Event()

    def on_start(self, invocation: Invocation, event: Start) -> None:
        if not invocation.is_running:
            return
        if self._one_at_a_time:
            self._running.clear()
        self._running.add(invocation.request_id)
        self._changed.set()

    def on_runtime_done(self, invocation: Invocation, event: RuntimeDone) -> None:
        self._end(invocation)

    def on_report(self, invocation: Invocation, event: Report) -> None:
        self._end(invocation)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            if self._running:
                await self._look_until_changed()
            else:
                await self._changed.wait()
            self._changed = trio.Event()

    async def _look_until_changed(self) -> None:
        pause_s = first_pause_s
        while True:
            with trio.move_on_after(pause_s):
                await self._changed.wait()
                return
            self.usage.sample()
            pause_s = min(2 * pause_s, longest_pause_s)

    def _end(self, invocation: Invocation) -> None:
        if invocation.request_id in self._running:
            self._running.remove(invocation.request_id)
            self._changed.set()
