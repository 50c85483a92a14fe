"""Time buckets, and the second that tells of each part of one. Pure.

Rule: a bucket may be cut more than once, as the sandbox may freeze while it is open. What the intake would take for the same
point overwrites what came before, so each part that makes points has a second of its own. (Sketches of one second add up.)
"""

from __future__ import annotations

from typing import Final

interval_s: Final = 10
"""How long a bucket is; it begins at a multiple of this (Unix seconds)."""

_last_second: Final = interval_s - 1
# As many buckets as the contexts that are held by default can lie in; they take a megabyte.
_max_remembered: Final = 10_240


class PartSeconds:
    """Hands out the seconds of parts, none twice.

    `told_until_s` is the last second of which another process, in whose place this one is, told points; 0: there is none.
    """

    def __init__(self, told_until_s: int = 0) -> None:
        self.told_until_s = told_until_s
        """The last second of an open bucket, or behind it, of which points were told."""
        self._taken_over_s = told_until_s - told_until_s % interval_s
        self._last_told = {self._taken_over_s: told_until_s}
        """Of the latest buckets: the last of their seconds of which points were told."""
        self._first_late = told_until_s and _late_second(told_until_s)
        """The first second for parts of buckets before that: some were told by the other one, or before the last time that
        the oldest were forgotten, and mostly by their start."""

    def begin(self, open_s: int) -> None:
        """The first bucket is open, the one that begins at `open_s`."""
        if self._taken_over_s == open_s + interval_s:
            # The other one has told so many parts of this bucket that its last one took a second of the next.
            self._last_told[open_s] = open_s + _last_second

    def claim(self, start_s: int, *, open_s: int, all_of_it: bool) -> int | None:
        """The second for the next part of the bucket that begins at `start_s`; None: there is none, and the part has to wait.

        It is one of its own, or of a later bucket that is closed too. The last one of the bucket that is open, which begins at
        `open_s`, is kept for what comes until it ends, which with `all_of_it` is now; then later ones will do.
        """
        second = self._free(start_s, open_s, all_of_it=all_of_it)
        if second is not None:
            self._last_told[second - second % interval_s] = second
            if start_s <= open_s <= second:
                self.told_until_s = second
            if len(self._last_told) > _max_remembered:
                self._forget_oldest()
        return second

    def _free(self, start_s: int, open_s: int, *, all_of_it: bool) -> int | None:
        bucket_s = start_s
        while bucket_s != open_s or all_of_it:
            second = self._next(bucket_s)
            if second <= bucket_s + _last_second:
                return second
            bucket_s += interval_s
        second = self._next(bucket_s)
        return second if bucket_s == start_s and second < bucket_s + _last_second else None

    def _next(self, bucket_s: int) -> int:
        """The one after the last of this bucket of which points were told; it may lie behind the bucket's end."""
        last = self._last_told.get(bucket_s)
        if last is not None:
            return last + 1
        return bucket_s + self._first_late if bucket_s < self._taken_over_s else bucket_s

    def _forget_oldest(self) -> None:
        """Of half the buckets it is not known any more what was told: like those of another process, they begin later."""
        oldest = sorted(self._last_told)[: _max_remembered // 2]
        for start_s in oldest:
            del self._last_told[start_s]
        self._taken_over_s = max(self._taken_over_s, oldest[-1] + interval_s)
        self._first_late = _late_second(self._first_late)


def _late_second(number: int) -> int:
    """For each number another one than for the next: a second of a bucket that is neither its first nor its last."""
    return 1 + number % (interval_s - 2)
