"""Which invocation a line belongs to that names none itself, where invocations run one after the other (on demand). Pure.

Rules:
- A line belongs to the invocation that ran when it was written: its time decides, not the order of arrival. What was
  written before the first START belongs to the invocation that this START begins.
- Between an END and the next START it is open whether a line written after that END is a last word of the one invocation
  or the first of the next: `find` says None, and `find_settled` gives it to the invocation that ended. An INIT_START in
  between parts the two: what was written before it belongs to the first, the rest to the next, once that is known.
- An event is a repeat when request id and time are those of one told before; the same request id at another time is a new
  run (a retried asynchronous invocation keeps its request id).
"""

from __future__ import annotations

from ddx_core.events import InitStart, Report, RuntimeDone, Start

unknown_ns = -1
looks_back = 8
"""How many invocations back a late line is still matched by its time."""


class _Run:
    """One invocation. Times are `unknown_ns` until their event has come."""

    __slots__ = ("end_ns", "left_ns", "report_ns", "request_id", "runtime_ms", "start_ns")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.start_ns = unknown_ns
        self.end_ns = unknown_ns
        self.left_ns = unknown_ns
        """When the first init after the end began."""
        self.report_ns = unknown_ns
        self.runtime_ms = 0.0

    @property
    def has_ended(self) -> bool:
        return self.end_ns != unknown_ns

    def is_left_by(self, time_ns: int) -> bool:
        return self.left_ns != unknown_ns and time_ns >= self.left_ns


class RequestIds:
    """Keeps the last `capacity` invocations. The event methods return False for a repeat, which then changes nothing."""

    def __init__(self, *, capacity: int = 256) -> None:
        self._capacity = capacity
        self._runs: dict[str, _Run] = {}
        self._latest: list[_Run] = []
        self._current: _Run | None = None
        self._last_init: InitStart | None = None

    def init_started(self, event: InitStart) -> bool:
        """Lines written from then on belong to the invocation that comes next, unless the init is part of a running one."""
        if event == self._last_init:
            return False
        self._last_init = event
        current = self._current
        if current is None or not current.has_ended or current.left_ns != unknown_ns:
            return True
        if event.time_ns >= current.end_ns:
            current.left_ns = event.time_ns
        return True

    def started(self, event: Start) -> bool:
        run = self._runs.get(event.request_id)
        if run is not None and run.start_ns == event.time_ns:
            return False
        if run is None or run.start_ns != unknown_ns:
            run = self._add(event.request_id)
        run.start_ns = event.time_ns
        self._enter(run)
        return True

    def ended(self, event: RuntimeDone) -> bool:
        run = self._runs.get(event.request_id)
        if run is not None and run.end_ns == event.time_ns:
            return False
        if run is None:
            run = self._add_unstarted(event.request_id)
        run.end_ns = event.time_ns
        # Kept by request id: reports may come in another order than ends, and some ends have no metrics.
        run.runtime_ms = event.metrics.duration_ms if event.metrics is not None else 0.0
        return True

    def reported(self, event: Report) -> bool:
        run = self._runs.get(event.request_id)
        if run is not None and run.report_ns == event.time_ns:
            return False
        if run is None:
            run = self._add_unstarted(event.request_id)
            run.end_ns = event.time_ns
        run.report_ns = event.time_ns
        return True

    def runtime_ms(self, request_id: str) -> float:
        """What the invocation's runtimeDone told; 0.0 when it told nothing."""
        run = self._runs.get(request_id)
        return run.runtime_ms if run is not None else 0.0

    def find(self, time_ns: int) -> str | None:
        """The request id for a line written at `time_ns`; None while it cannot be known."""
        current = self._current
        if current is None:
            return None
        if not current.has_ended and time_ns >= current.start_ns:
            return current.request_id or None
        if time_ns > current.end_ns and current.has_ended and current.left_ns == unknown_ns:
            return None
        return self._at(time_ns, current)

    def find_settled(self, time_ns: int) -> str | None:
        """As `find`, for when no START can come before the line must go: None for lines of an init without a START yet."""
        current = self._current
        return None if current is None else self._at(time_ns, current)

    def _at(self, time_ns: int, current: _Run) -> str | None:
        later: _Run | None = None
        for run in reversed(self._latest):
            if run.start_ns <= time_ns:
                owner = later if run.is_left_by(time_ns) else run
                return owner.request_id or None if owner is not None else None
            later = run
        return current.request_id or None

    def _add(self, request_id: str) -> _Run:
        self._runs.pop(request_id, None)
        run = self._runs[request_id] = _Run(request_id)
        if len(self._runs) > self._capacity:
            del self._runs[next(iter(self._runs))]
        return run

    def _add_unstarted(self, request_id: str) -> _Run:
        """An invocation whose START is late or lost: it is the current one unless another still runs."""
        run = self._add(request_id)
        if self._current is None or self._current.has_ended:
            self._enter(run)
        return run

    def _enter(self, run: _Run) -> None:
        current = self._current
        if run is current:
            return
        if run in self._latest:
            self._latest.remove(run)
        if current is None or current.has_ended or run.start_ns >= current.start_ns:
            self._current = run
            self._latest.append(run)
        else:
            # The START of an earlier invocation, late.
            self._latest.insert(len(self._latest) - 1, run)
        del self._latest[:-looks_back]
