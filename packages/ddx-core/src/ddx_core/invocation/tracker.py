"""Events in, records updated, observers told. Bounded; pure but for the clock it is given.

Rules: telemetry and the Extensions API are not ordered against each other, so every event may be the first word of its
invocation; telemetry alone keeps its order. A repeated event changes nothing and is not told again. An observer that fails
is reported and skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import log
from ..clock import WallClock, ns_per_ms
from ..events import (
    InitReport,
    InitStart,
    Invoke,
    LogLine,
    Report,
    RestoreReport,
    RestoreStart,
    RuntimeDone,
    Shutdown,
    Start,
    TelemetryEvent,
)
from .observer import InvocationObserver
from .record import Invocation

# An invocation that begins later than this after the sandbox did was not waited for by a caller: the environment was
# initialised ahead of time (the vendor's extension draws the same line).
proactive_after_ns = 10_000 * ns_per_ms
max_invocations = 500
max_overlapping = 4_000
"""Where invocations overlap: as many may be under way at a time."""
max_forgotten = 10_000


class InvocationTracker:
    """Keeps the last `max_invocations` request ids (`max_overlapping` without INVOKE events), oldest out first.

    `sandbox_started_ns`: Unix; None where the sandbox begins with a restore (SnapStart), which only telemetry tells of.
    """

    def __init__(
        self,
        *,
        now_ns: WallClock,
        sandbox_started_ns: int | None,
        observers: Sequence[InvocationObserver] = (),
        has_invoke_events: bool = True,
        is_new_sandbox: bool = True,
        capacity: int | None = None,
    ) -> None:
        self._now_ns = now_ns
        self._started_ns = sandbox_started_ns
        self._observers = tuple(observers)
        self._has_invoke_events = has_invoke_events
        # False: another process tracked this sandbox before, so its cold start has been told.
        self._is_new_sandbox = is_new_sandbox
        self._capacity = capacity or (max_invocations if has_invoke_events else max_overlapping)
        self._invocations: dict[str, Invocation] = {}
        self._forgotten: dict[str, None] = {}
        """Ids whose end had not been told yet when they had to go: it must not look like that of another invocation."""
        self._init_started = False
        self._init_reported = False
        self._restore_started: RestoreStart | None = None
        self._restore_reported: RestoreReport | None = None
        self.latest: Invocation | None = None
        """The invocation that began last."""
        self.seen = 0
        """How many invocations began."""

    def get(self, request_id: str) -> Invocation | None:
        """What is known of this id; of its latest run, when there were several."""
        return self._invocations.get(request_id)

    def invoke(self, event: Invoke) -> Invocation:
        """INVOKE was received. It comes once for each run: one more for a known id is Lambda's retry of a failed event."""
        invocation = self._invocations.get(event.request_id)
        if invocation is None or invocation.invoked_ns is not None:
            invocation = self._begin(event.request_id)
        elif not invocation.has_begun:
            self._mark_begun(invocation)
        invocation.invoked_ns = self._now_ns()
        invocation.deadline_ms = event.deadline_ms
        invocation.arn = event.invoked_function_arn or None
        self._tell(lambda observer: observer.on_invoke(invocation))
        return invocation

    def shutdown(self, event: Shutdown) -> None:
        self._tell(lambda observer: observer.on_shutdown(event))

    def observe(self, event: TelemetryEvent) -> None:
        """One event of the Telemetry API; kinds that say nothing of an invocation's life are passed over."""
        if type(event) is LogLine:
            return  # nearly all events are lines
        match event:
            case Start():
                self._start(event)
            case RuntimeDone():
                self._runtime_done(event)
            case Report():
                self._report(event)
            case InitStart():
                if not self._init_started:
                    self._init_started = True
                    self._tell(lambda observer: observer.on_init_start(event))
            case InitReport():
                if not self._init_reported:
                    self._init_reported = True
                    self._tell(lambda observer: observer.on_init_report(event))
            case RestoreStart():
                if event != self._restore_started:
                    self._restore_started = event
                    self._started_ns = event.time_ns
                    self._tell(lambda observer: observer.on_restore_start(event))
            case RestoreReport():
                if event != self._restore_reported:
                    self._restore_reported = event
                    self._tell(lambda observer: observer.on_restore_report(event))
            case _:
                pass

    def _start(self, event: Start) -> None:
        invocation = self._invocations.get(event.request_id)
        if invocation is None:
            invocation = self._begin_by_telemetry(event.request_id)
        elif invocation.start_ns is not None:
            if invocation.start_ns == event.time_ns or invocation.is_running:
                return
            # The run we know has ended: this is the next one under its id, and its INVOKE is still on the way.
            invocation = self._begin_by_telemetry(event.request_id)
        elif invocation.earlier is not None and invocation.earlier.start_ns == event.time_ns:
            return
        elif not invocation.has_begun:
            self._mark_begun(invocation)
        invocation.start_ns = event.time_ns
        self._tell(lambda observer: observer.on_start(invocation, event))

    def _runtime_done(self, event: RuntimeDone) -> None:
        invocation = self._run_that_ended(event.request_id)
        earlier = invocation.earlier
        if earlier is not None and (earlier.runtime_done == event or _ends(earlier, invocation, earlier.runtime_done)):
            invocation = earlier
        if invocation.runtime_done is None:
            invocation.runtime_done = event
            self._tell(lambda observer: observer.on_runtime_done(invocation, event))

    def _report(self, event: Report) -> None:
        invocation = self._run_that_ended(event.request_id)
        earlier = invocation.earlier
        if earlier is not None and (earlier.report == event or _ends(earlier, invocation, earlier.report)):
            invocation = earlier
        if invocation.report is None:
            invocation.report = event
            self._tell(lambda observer: observer.on_report(invocation, event))

    def _run_that_ended(self, request_id: str) -> Invocation:
        invocation = self._invocations.get(request_id)
        if invocation is not None:
            return invocation
        if not self._has_invoke_events and request_id not in self._forgotten:
            return self._begin_by_telemetry(request_id)
        # Telemetry keeps its own order, so a run whose end comes without a beginning began before this process did, or has
        # been forgotten.
        invocation = Invocation(request_id, is_first=False, cold_start=False, proactive=False)
        invocation.has_begun = False
        self._keep(invocation)
        return invocation

    def _begin_by_telemetry(self, request_id: str) -> Invocation:
        invocation = self._begin(request_id)
        if not self._has_invoke_events:
            self._tell(lambda observer: observer.on_invoke(invocation))
        return invocation

    def _begin(self, request_id: str) -> Invocation:
        invocation = Invocation(request_id, is_first=False, cold_start=False, proactive=False)
        self._mark_begun(invocation)
        self._keep(invocation)
        return invocation

    def _mark_begun(self, invocation: Invocation) -> None:
        invocation.has_begun = True
        invocation.is_first = self.seen == 0
        is_initial = invocation.is_first and self._is_new_sandbox
        invocation.proactive = is_initial and self._has_waited()
        invocation.cold_start = is_initial and not invocation.proactive
        self.latest = invocation
        self.seen += 1

    def _has_waited(self) -> bool:
        """Whether the sandbox was there long before. INVOKE comes sooner than telemetry: a restore not told of is recent."""
        return self._started_ns is not None and self._now_ns() - self._started_ns > proactive_after_ns

    def _keep(self, invocation: Invocation) -> None:
        earlier = self._invocations.pop(invocation.request_id, None)
        if earlier is not None:
            earlier.earlier = None
            invocation.earlier = earlier
        self._invocations[invocation.request_id] = invocation
        if len(self._invocations) > self._capacity:
            evicted = self._invocations.pop(next(iter(self._invocations)))
            if evicted.report is None:
                self._forgotten[evicted.request_id] = None
                if len(self._forgotten) > max_forgotten:
                    del self._forgotten[next(iter(self._forgotten))]

    def _tell(self, call: Callable[[InvocationObserver], None]) -> None:
        for observer in self._observers:
            try:
                call(observer)
            except Exception as error:
                log.error("invocation_observer_failed", observer=type(observer).__name__, exc_info=error)


def _ends(earlier: Invocation, current: Invocation, known: object) -> bool:
    """Whether news of an end is of the earlier run: it lacks them, and the current run is not known to have started."""
    return known is None and current.start_ns is None
