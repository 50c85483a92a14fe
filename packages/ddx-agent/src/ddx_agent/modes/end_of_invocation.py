"""EndOfInvocation: hears of an end from whoever tells first (runtimeDone, the report, the function's library).

It also judges from what was told, and what was not, whether the next end is worth waiting for.
"""

from __future__ import annotations

import trio

from ddx_core.events import Report, RuntimeDone
from ddx_core.invocation import Invocation, InvocationObserver

# After an end that telemetry owes, so many invocations are not waited for; then one is, and each further miss doubles the number.
first_distrust = 10
longest_distrust = 1000


class EndOfInvocation(InvocationObserver):
    def __init__(self) -> None:
        self._waited_for: tuple[Invocation, trio.Event] | None = None
        self._told_by_library: Invocation | None = None
        self._given_up: Invocation | None = None
        self._distrust = 0
        self._left_out = 0
        self.sandbox_ends = trio.Event()
        """Set when the sandbox is reset after the present invocation."""

    def on_runtime_done(self, invocation: Invocation, event: RuntimeDone) -> None:
        # The end of a life before this one may be told late.
        if event.ends_sandbox and invocation.has_begun:
            self.sandbox_ends.set()
        self._end(invocation)

    def on_report(self, invocation: Invocation, event: Report) -> None:
        self._end(invocation)

    def tell(self, invocation: Invocation) -> None:
        """The function's library says that this invocation is over."""
        self._told_by_library = invocation
        self._end(invocation)

    def begin(self, invocation: Invocation) -> None:
        """INVOKE has come. The sandbox has outlived whatever was told before, save of this very invocation."""
        told = invocation.runtime_done
        if self.sandbox_ends.is_set() and not (told is not None and told.ends_sandbox):
            self.sandbox_ends = trio.Event()

    def may_be_waited_for(self) -> bool:
        """Whether waiting for the end of the invocation that begins now is a good bet; ask once for each."""
        if self._left_out:
            self._left_out -= 1
            return False
        return True

    def was_seen(self) -> None:
        self._given_up = None
        self._distrust = 0

    def was_not_seen(self, invocation: Invocation) -> bool:
        """The wait for this end was given up. Returns whether telemetry is to blame, and the next ends are not waited for.

        It is when it has said nothing of the invocation, or has not told the end given up before this one to this day.
        Otherwise the function may just have worked until its deadline.
        """
        earlier, self._given_up = self._given_up, invocation
        if invocation.start_ns is not None and (earlier is None or not earlier.is_running):
            return False
        self._distrust = min(self._distrust * 2, longest_distrust) or first_distrust
        self._left_out = self._distrust
        return True

    async def wait(self, invocation: Invocation) -> None:
        """Returns at once when the end was told already. The same request id may run again: only this run counts."""
        if not invocation.is_running or invocation is self._told_by_library:
            return
        self._waited_for = (invocation, trio.Event())
        await self._waited_for[1].wait()

    def _end(self, invocation: Invocation) -> None:
        if self._waited_for is not None and self._waited_for[0] is invocation:
            self._waited_for[1].set()
