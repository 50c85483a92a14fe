"""OverlappingErrors: where invocations overlap, which of the errors that libraries report others tell of, too. Synchronous.

A library does not say whose error it reports. One that a tracer has told of is taken to be the same until that run's report;
any other one is taken for the next that a tracer or the platform tells of while any invocation is running.
"""

from __future__ import annotations

from collections.abc import Callable

from .runs import Run


class OverlappingErrors:
    """Remembers at most `most` runs. `drain` takes in what libraries have sent, which comes back as calls of `by_library`."""

    def __init__(self, drain: Callable[[], None], *, most: int) -> None:
        self._drain = drain
        self._most = most
        self._running: set[str] = set()
        self._by_library_alone = 0
        self._by_tracer_alone: dict[Run, None] = {}
        """In the order in which they were told."""

    def begin(self, request_id: str) -> None:
        """This invocation runs until its `end`."""
        if len(self._running) < self._most:
            self._running.add(request_id)

    def end(self, request_id: str, run: Run) -> None:
        """The invocation's report has come. A library sends its own before that: what has not come by now comes no more."""
        if run in self._by_tracer_alone:
            self._drain()
            self._by_tracer_alone.pop(run, None)
        self._running.discard(request_id)
        if not self._running:
            self._by_library_alone = 0
            self._by_tracer_alone.clear()

    def by_library(self) -> bool:
        """A library reports an error: whether no tracer has told of it."""
        if self._by_tracer_alone:
            del self._by_tracer_alone[next(iter(self._by_tracer_alone))]
            return False
        self._by_library_alone += 1
        return True

    def by_tracer(self, run: Run) -> bool:
        """A tracer tells that this run failed: whether no library has reported it. One may do so yet."""
        is_news = self.by_platform()
        if is_news and len(self._by_tracer_alone) < self._most:
            self._by_tracer_alone[run] = None
        return is_news

    def by_platform(self) -> bool:
        """The platform tells that a run failed of which no tracer has told: whether no library has reported it."""
        self._drain()
        if not self._by_library_alone:
            return True
        self._by_library_alone -= 1
        return False
