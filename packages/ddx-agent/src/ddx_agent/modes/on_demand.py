"""On-demand mode: one invocation at a time, the sandbox frozen in between.

Rules of this file:
- Until this loop asks for the next event, Lambda bills the invocation. So nothing here waits without a bound: for the end of
  the invocation at most until shortly before its deadline, for a flush at most `max_added_s`.
- A sandbox that is reset (a crash, a timeout) has its SHUTDOWN waiting behind the next event, with the time for it running
  out: nothing is waited for any more.
- Nobody waits for telemetry that will not come: there is none (`has_telemetry`), none has come for this invocation in its
  first second, or a recent end was never told. A function that works until its deadline is no sign of that.
"""

from __future__ import annotations

from collections import deque

import trio

from ddx_agent.link import EventSource
from ddx_core import log
from ddx_core.clock import WallClock, ns_per_ms
from ddx_core.events import Invoke, Shutdown
from ddx_core.flush import Cadence, Decision, Strategy, plan
from ddx_core.invocation import Invocation, InvocationTracker
from ddx_core.pipeline import FlushKind

from .elapsed import Elapsed
from .end_of_invocation import EndOfInvocation
from .flusher import Flusher

# Asking for the next event must be done this long before the function's deadline; the keeper steps in after that.
ask_before_deadline_s = 0.3
# A function that is about to time out takes its data along if a flush starts this long before; at most a part of its time.
flush_before_deadline_s = 1.2
flush_before_deadline_part = 0.25
# Lambda sends events within 25 ms of buffering; a platform that has said nothing of an invocation by then sends nothing in time.
first_word_within_s = 1.0
without_telemetry_tick_s = 1.0
# No round trip to an intake ends sooner. A flush that is cut off before its first request is under way sends nothing at all.
least_wait_s = 0.02


class OnDemand:
    """`run` returns the SHUTDOWN event. `added_ms` keeps what recent invocations were held up after their end."""

    name = "on-demand"

    def __init__(
        self,
        *,
        source: EventSource,
        tracker: InvocationTracker,
        ends: EndOfInvocation,
        flusher: Flusher,
        strategy: Strategy,
        elapsed: Elapsed,
        wall_clock: WallClock,
        max_added_s: float,
    ) -> None:
        self._source = source
        self._tracker = tracker
        self._ends = ends
        self._flusher = flusher
        self._strategy = strategy
        self._elapsed = elapsed
        self._wall_clock = wall_clock
        self._max_added_s = max_added_s
        self._cadence = Cadence()
        self._current: Invocation | None = None
        self._tick_s = without_telemetry_tick_s
        self.has_telemetry = False
        self.added_ms: deque[float] = deque(maxlen=100)

    async def run(self) -> Shutdown:
        """Handle invocations until the environment ends. `has_telemetry` must be settled before."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._flush_within_long_invocations)
            while True:
                event = await self._source.next()
                if isinstance(event, Shutdown):
                    nursery.cancel_scope.cancel("shutdown")
                    return event
                await self._invocation(event)

    async def flush_at_end(self) -> None:
        """The function's library says that the invocation is over and waits for the data to leave (`/lambda/flush`)."""
        await self._flush_within(self._max_added_s)
        if self._flusher.is_in_trouble():
            # The failing endpoint was passed by; whoever calls again need not wait for the next invocation's try.
            self._flusher.start_in_background()
        if self._current is not None:
            self._ends.tell(self._current)

    async def _invocation(self, event: Invoke) -> None:
        self._current = invocation = self._tracker.invoke(event)
        self._ends.begin(invocation)
        now_ms = self._elapsed.ms()
        self._cadence.record(now_ms)
        planned = plan(self._strategy, self._cadence, now_ms=now_ms, last_flush_ms=self._flusher.last_ms)
        log.debug("invocation_began", request_id=event.request_id, decision=planned.decision.name)
        if self._flusher.is_in_trouble():
            # Blocking flushes pass the failing endpoint by; while the function runs it can be tried at no one's cost.
            self._flusher.start_in_background()
        if not self.has_telemetry or not self._ends.may_be_waited_for():
            self._tick_s = without_telemetry_tick_s
            self._flusher.start_in_background()
            return
        self._tick_s = planned.tick_ms / 1000
        match planned.decision:
            case Decision.AT_END:
                await self._flush_at_end_of(invocation)
            case Decision.NOW_AND_WAIT:
                await self._flush_within(self._seconds_left(self._max_added_s))
            case Decision.NOW_IN_BACKGROUND:
                self._flusher.start_in_background()
            case Decision.NOT_NOW:
                pass

    async def _flush_at_end_of(self, invocation: Invocation) -> None:
        if not await self._see_end_of(invocation):
            self._flusher.start_in_background()
            if self._ends.was_not_seen(invocation):
                log.warning(
                    "end_of_invocation_not_seen",
                    request_id=invocation.request_id,
                    consequence="data leaves during the next invocations, which are not waited for",
                )
            else:
                log.debug("deadline_came_first", request_id=invocation.request_id)
            return
        self._ends.was_seen()
        ended = trio.current_time()
        await self._flush_within(self._seconds_left(self._max_added_s))
        self.added_ms.append(round((trio.current_time() - ended) * 1000, 2))

    async def _flush_within(self, seconds: float) -> None:
        """Flush and wait for it, at most so long; where that is no time at all, the data leaves while nobody waits."""
        if seconds < least_wait_s or self._ends.sandbox_ends.is_set():
            self._flusher.start_in_background()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._give_way_to_reset, nursery.cancel_scope)
            await self._flusher.wait_for(FlushKind.BLOCKING, seconds=seconds)
            nursery.cancel_scope.cancel("flushed")

    async def _give_way_to_reset(self, flush: trio.CancelScope) -> None:
        await self._ends.sandbox_ends.wait()
        self._flusher.start_in_background()
        flush.cancel("the sandbox is reset")

    async def _see_end_of(self, invocation: Invocation) -> bool:
        """Wait for the end as long as it can still be expected to be told."""
        left_s = self._seconds_left(None)
        until_flush_s = left_s - min(flush_before_deadline_s, left_s * flush_before_deadline_part)
        first_s = min(first_word_within_s, until_flush_s)
        for patience_s in (first_s, until_flush_s - first_s):
            with trio.move_on_after(patience_s):
                await self._ends.wait(invocation)
                return True
            if invocation.start_ns is None:
                return False
        # The deadline is near. Save what there is, in parallel with the function, and go on waiting for its end.
        self._flusher.start_in_background()
        with trio.move_on_after(self._seconds_left(None)):
            await self._ends.wait(invocation)
            return True
        return False

    def _seconds_left(self, at_most: float | None) -> float:
        """Until the next event must have been asked for; without a deadline, and at most, `at_most` (or 15 min)."""
        limit = 900.0 if at_most is None else at_most
        if self._current is None or not self._current.deadline_ms:
            return limit
        left_s = self._current.deadline_ms / 1000 - self._wall_clock() / (ns_per_ms * 1000) - ask_before_deadline_s
        return max(0.0, min(limit, left_s))

    async def _flush_within_long_invocations(self) -> None:
        while True:
            current = self._current
            is_running = current is not None and (current.is_running or not self.has_telemetry)
            due_s = self._tick_s - (self._elapsed.ms() - self._flusher.last_ms) / 1000
            if is_running and due_s <= 0:
                self._flusher.start_in_background()
                due_s = self._tick_s
            await trio.sleep(max(0.25, due_s) if is_running else self._tick_s)
