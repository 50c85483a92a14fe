"""Events in, records updated, observers told. Bounded; pure but for the clock it is given.

Rules: telemetry and the Extensions API are not ordered against each other, so every event may be the first word of its
invocation. A repeated event changes nothing and is not told again. An observer that fails is reported and skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import log
from ..clock import WallClock, ns_per_ms
from ..lifecycle.events import (
    InitReport,
    InitStart,
    Invoke,
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


class InvocationTracker:
    """Keeps the last `max_invocations` request ids, oldest out first."""

    def __init__(
        self,
        *,
        now_ns: WallClock,
        sandbox_started_ns: int,
        observers: Sequence[InvocationObserver] = (),
        has_invoke_events: bool = True,
        capacity: int = max_invocations,
    ) -> None:
        self._now_ns = now_ns
        self._started_ns = sandbox_started_ns
        self._observers = tuple(observers)
        self._has_invoke_events = has_invoke_events
        self._capacity = capacity
        self._invocations: dict[str, Invocation] = {}
        self._seen_any = False
        self._init_started = False
        self._init_reported = False
        self.seen = 0
        """How many invocations there were."""

    @property
    def latest(self) -> Invocation | None:
        """The invocation that began last."""
        return next(reversed(self._invocations.values()), None)

    def get(self, request_id: str) -> Invocation | None:
        return self._invocations.get(request_id)

    def invoke(self, event: Invoke) -> Invocation:
        """INVOKE was received."""
        invocation, is_new = self._find(event.request_id)
        told = invocation.invoked_ns is not None
        invocation.invoked_ns = invocation.invoked_ns or self._now_ns()
        invocation.deadline_ms = event.deadline_ms
        invocation.arn = event.invoked_function_arn or None
        if is_new or not told:
            self._tell(lambda observer: observer.on_invoke(invocation))
        return invocation

    def shutdown(self, event: Shutdown) -> None:
        self._tell(lambda observer: observer.on_shutdown(event))

    def observe(self, event: TelemetryEvent) -> None:
        """One event of the Telemetry API; kinds that say nothing of an invocation's life are passed over."""
        match event:
            case Start():
                invocation = self._known(event.request_id)
                if invocation.start_ns is None:
                    invocation.start_ns = event.time_ns
                    self._tell(lambda observer: observer.on_start(invocation, event))
            case RuntimeDone():
                invocation = self._known(event.request_id)
                if invocation.runtime_done is None:
                    invocation.runtime_done = event
                    self._tell(lambda observer: observer.on_runtime_done(invocation, event))
            case Report():
                invocation = self._known(event.request_id)
                if invocation.report is None:
                    invocation.report = event
                    self._tell(lambda observer: observer.on_report(invocation, event))
            case InitStart():
                if not self._init_started:
                    self._init_started = True
                    self._tell(lambda observer: observer.on_init_start(event))
            case InitReport():
                if not self._init_reported:
                    self._init_reported = True
                    self._tell(lambda observer: observer.on_init_report(event))
            case RestoreStart():
                self._started_ns = event.time_ns
                self._tell(lambda observer: observer.on_restore_start(event))
            case RestoreReport():
                self._tell(lambda observer: observer.on_restore_report(event))
            case _:
                pass

    def _known(self, request_id: str) -> Invocation:
        invocation, is_new = self._find(request_id)
        if is_new and not self._has_invoke_events:
            self._tell(lambda observer: observer.on_invoke(invocation))
        return invocation

    def _find(self, request_id: str) -> tuple[Invocation, bool]:
        invocation = self._invocations.get(request_id)
        if invocation is not None:
            return invocation, False
        is_first = not self._seen_any
        self._seen_any = True
        proactive = is_first and self._now_ns() - self._started_ns > proactive_after_ns
        invocation = Invocation(
            request_id, is_first=is_first, cold_start=is_first and not proactive, proactive=proactive
        )
        self._invocations[request_id] = invocation
        self.seen += 1
        if len(self._invocations) > self._capacity:
            del self._invocations[next(iter(self._invocations))]
        return invocation, True

    def _tell(self, call: Callable[[InvocationObserver], None]) -> None:
        for observer in self._observers:
            try:
                call(observer)
            except Exception as error:
                log.error("invocation_observer_failed", observer=type(observer).__name__, exc_info=error)
