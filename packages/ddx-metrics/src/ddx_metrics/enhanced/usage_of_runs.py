"""UsageOfRuns: which of what the machine tells belongs to which run. Synchronous.

Rules of this file:
- What a run used lies between two readings: one at its beginning, and one when its end is told or the next run begins,
  whichever comes first. So no use is told twice, however late a report is.
- Peaks are a run's own where one runs at a time. Where they overlap, peaks belong to none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..sample import Values
from .runs import Counted, Run

if TYPE_CHECKING:
    from ..usage import Usage

managed_peaks_s: Final = 60
"""Where runs overlap (Managed Instances) and while there are any, peaks are told this often, and at shutdown."""


class UsageOfRuns:
    """`usage` reads the machine. What is returned is to be told with the tags of the run that was given."""

    def __init__(self, usage: Usage, *, one_at_a_time: bool) -> None:
        self._usage = usage
        self._one_at_a_time = one_at_a_time
        self._peaks_told_s = 0

    def begin(self, run: Run, previous: Run | None) -> None:
        """A run begins, after `previous`, of which the end may not have been told yet."""
        run.before = self._usage.read()
        if not self._one_at_a_time:
            return
        if previous is not None and previous.after is None:
            previous.after = run.before
            was_told_of = previous.invocation is not None and previous.invocation.start_ns is not None
            if was_told_of and not previous.has(Counted.PEAKS):
                previous.peaks = self._usage.peak_values()
        self._usage.reset()

    def at_end(self, run: Run, *, is_latest: bool) -> Values:
        """The end of a run is told: how busy the cores were in it, and the most that was in use. Later if runs overlap."""
        if not self._one_at_a_time or run.before is None or not run.first_time(Counted.PEAKS):
            return []
        values = self._usage.busy(run.before, run.after)
        if run.peaks is not None:
            values += run.peaks
            run.peaks = None
        elif is_latest:
            values += self._usage.peak_values()
        return values

    def at_report(self, run: Run, now_s: int) -> Values:
        """Its report came, at `now_s` (Unix seconds): bytes and CPU time. Where runs overlap so do these."""
        if run.before is None or not run.first_time(Counted.USAGE):
            return []
        before, after = run.before, run.after or self._usage.read()
        values = self._usage.used(before, after)
        if not self._one_at_a_time:
            values += self._usage.busy(before, after)
            values += self._due_peaks(now_s)
        return values

    def at_shutdown(self) -> Values:
        """Peaks that belong to no run."""
        return [] if self._one_at_a_time else self._usage.peak_values()

    def _due_peaks(self, now_s: int) -> Values:
        self._peaks_told_s = self._peaks_told_s or now_s
        if 0 <= now_s - self._peaks_told_s < managed_peaks_s:
            return []
        self._peaks_told_s = now_s
        peaks = self._usage.peak_values()
        self._usage.reset()
        return peaks
