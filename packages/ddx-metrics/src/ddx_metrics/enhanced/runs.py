"""Runs of invocations, as enhanced metrics remember them: what was counted for each, so that nothing is counted twice. Pure.

A request id comes again when Lambda retries a failed event: that is a run of its own.
"""

from __future__ import annotations

from enum import Flag, auto
from typing import TYPE_CHECKING

from ddx_core.invocation import Invocation

from ..sample import Values

if TYPE_CHECKING:
    from ..usage import Reading


class Counted(Flag):
    """What was counted for one run."""

    NOTHING = 0
    ERROR = auto()
    REPORTED = auto()
    """Its library has reported an error."""
    TIMEOUT = auto()
    OUT_OF_MEMORY = auto()
    POST_RUNTIME = auto()
    USAGE = auto()
    PEAKS = auto()


class Run:
    """What is remembered of one run; `invocation` is None while only its id was spoken of.

    `earlier` is the run before this one under the same id. `before` and `after` are readings of the machine; `peaks` waits here
    when the next invocation began before the end of this one was told.
    """

    __slots__ = ("_counted", "after", "before", "earlier", "invocation", "peaks")

    def __init__(self, invocation: Invocation | None, earlier: Run | None = None) -> None:
        self.invocation = invocation
        self.earlier = earlier
        self.before: Reading | None = None
        self.after: Reading | None = None
        self.peaks: Values | None = None
        self._counted = Counted.NOTHING

    @property
    def has_begun(self) -> bool:
        return self.invocation is not None and self.invocation.invoked_ns is not None

    def has(self, what: Counted) -> bool:
        return what in self._counted

    def take_over(self, early: Run) -> None:
        """What was counted before this run began is its own."""
        self._counted |= early._counted

    def first_time(self, what: Counted) -> bool:
        """Whether this was not counted for the run before; it is from here on."""
        before = self._counted
        self._counted |= what
        return what not in before


class Runs:
    """The latest run of each of the last `most` request ids, and of each the one before; the oldest id is forgotten first."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._by_id: dict[str, Run] = {}
        self._early = Run(None)
        """Stands in for the run that begins next."""
        self._early_id: str | None = None
        """Its id, if a tracer has told it already."""
        self.first: Run | None = None
        self.latest: Run | None = None
        """The run that began last."""
        self._latest_has_ended = False

    def begin(self, invocation: Invocation) -> Run:
        """The run of an invocation that begins."""
        run = self.latest = self.of(invocation)
        self._latest_has_ended = not invocation.is_running
        self._give_early(run)
        if self.first is None:
            self.first = run
        return run

    def has_ended(self, run: Run) -> bool:
        """Whether nothing can be told of the run any more but by its id: another one has begun, or `end` was called."""
        return run.has_begun and (run is not self.latest or self._latest_has_ended)

    def end(self, run: Run) -> None:
        """The end of this run was told. If its INVOKE is on the way, or never comes as its init failed, it is the next one."""
        if run.has_begun:
            self._latest_has_ended = True
        elif run is self._early or (self._early_id is None and self._may_be_next(run)):
            self._give_early(run)

    def of(self, invocation: Invocation) -> Run:
        """The run that this invocation is, remembered from here on."""
        run = self._by_id.get(invocation.request_id)
        if run is None:
            return self._remember(invocation.request_id, Run(invocation))
        if run.invocation is None:
            run.invocation = invocation
        if run.invocation is invocation:
            return run
        if run.earlier is not None and run.earlier.invocation is invocation:
            return run.earlier
        run.earlier = None
        return self._remember(invocation.request_id, Run(invocation, run))

    def find(self, request_id: str | None) -> Run:
        """The latest run of that id; None: of whichever was the latest of all."""
        if request_id is None:
            return self.latest or self._early
        return self._by_id.get(request_id) or self._remember(request_id, Run(None))

    def of_tracer(self, request_id: str | None) -> Run:
        """The run of which a tracer tells that it failed.

        An id that is not known is that of the next one, and without an id the next one is meant when the latest is known to have
        ended well.
        """
        if request_id is None:
            run = self.find(None)
            return self._early if self._latest_has_ended and not run.has(Counted.ERROR) else run
        if request_id not in self._by_id and self._early_id is None:
            self._early_id = request_id
            return self._remember(request_id, self._early)
        return self.find(request_id)

    def of_report(self) -> Run:
        """The run whose error a library reports just now, by itself.

        After the end of the latest one that is the next, unless that end told of an error which its library did not report yet.
        """
        if self._early_id is not None:
            return self._early
        run = self.find(None)
        awaits_report = run.has(Counted.ERROR) and not run.has(Counted.REPORTED)
        return self._early if self._latest_has_ended and not awaits_report else run

    def _may_be_next(self, run: Run) -> bool:
        """Not when it was never heard to start, unless no other did: it is of the sandbox's life before this one."""
        return self.latest is None or (run.invocation is not None and run.invocation.has_begun)

    def _give_early(self, run: Run) -> None:
        # With an id it is this run itself, or one that will not begin.
        if self._early_id is None:
            run.take_over(self._early)
        self._early, self._early_id = Run(None), None

    def _remember(self, request_id: str, run: Run) -> Run:
        self._by_id.pop(request_id, None)
        if len(self._by_id) >= self._most:
            del self._by_id[next(iter(self._by_id))]
        self._by_id[request_id] = run
        return run
