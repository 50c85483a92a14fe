"""Aggregator: samples → accumulators by context and 10-second bucket, bounded, until a flush takes them out. Pure.

Rules of this file:
- A sample rests in exactly one of three places: a feed (arrived, not folded yet), a bucket, or what was cut for encoding.
  `held` is their sum, and what a limit keeps out is counted on the account, so accounts close after every call.
- The fast way in is a feed: a list of raw values for one context and rate, all of the open bucket. Receivers append to it
  and report how many before anything is awaited; folding puts many values into an accumulator at once.
- Everything that can grow is counted in contexts or in bytes, and refused past its limit.
- A bucket may be cut more than once; bucket.py says by which second each part is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from ddx_core import log
from ddx_core.stats import Account, Amount

from .accumulate import Accumulator, Cumulative, Distribution, accumulators
from .bucket import PartSeconds, interval_s
from .context import Context
from .feeds import Feed, Feeds
from .predecessors import Predecessors
from .sample import MetricType
from .tag_set_limit import TagSetLimit

# The more values a feed has when it is folded the less each one costs; folding this many at once, when a bucket ends,
# takes 2 to 4 ms.
max_fed: Final = 8_192
feeds_per_slice: Final = 500


class Gathered(msgspec.Struct, frozen=True, gc=False):
    """What one context gathered in the bucket that began at `start_s` (Unix seconds).

    `time_s` is the second that is this part's: the bucket's first for its first part, and so on.
    """

    start_s: int
    time_s: int
    context: Context
    values: Accumulator


class AggregatorStatistics(msgspec.Struct, frozen=True, kw_only=True):
    contexts: int
    samples: int
    bytes: int
    max_contexts: int
    max_bytes: int


_Bucket = dict[Context, Accumulator]


class Aggregator:
    """Holds at most `max_contexts` contexts, each counted once per bucket it has values in, and about `max_bytes`.

    `max_tag_sets` is how many contexts of a bucket may have one name. With `copies_to` the values of histograms are also put into
    distributions whose names begin with that; each value then counts as two samples. `told_until_s` is the last second of
    which another aggregator, in whose place this one is, told points.
    """

    def __init__(
        self,
        account: Account,
        *,
        max_contexts: int = 10_240,
        max_bytes: int = 33_554_432,
        max_tag_sets: int | None = None,
        copies_to: str | None = None,
        told_until_s: int = 0,
    ) -> None:
        self._account = account
        self._max_contexts = max_contexts
        self._max_bytes = max_bytes
        self._tag_set_limit = TagSetLimit(max_tag_sets)
        self._copies_to = copies_to
        self._open_s = 0
        self._now_s = 0
        self._feeds = Feeds()
        self._fed = 0
        """How many values wait in feeds."""
        self._buckets: dict[int, _Bucket] = {}
        self._cut: deque[tuple[int, int, _Bucket]] = deque()
        self._with_points: set[int] = set()
        """The buckets that hold anything but distributions."""
        self._part_seconds = PartSeconds(told_until_s)
        self._predecessors = Predecessors()
        self._contexts = 0
        self._samples = 0
        self._bytes = 0
        account.held_by(self._held)

    # --- in ---

    def advance(self, now_s: int) -> bool:
        """Tell the time: what comes without a time of its own belongs to the bucket of `now_s`. True: it is another one."""
        self._now_s = now_s
        start_s = now_s - now_s % interval_s
        if start_s == self._open_s:
            return False
        self.fold()
        if not self._open_s:
            self._part_seconds.begin(start_s)
        self._open_s = start_s
        self._predecessors.clear()
        return True

    def feed(self, context: Context, rate: float = 1.0) -> Feed:
        """The one feed of this context and rate. Good until `forget_feeds`."""
        return self._feeds.get_or_make(context, rate)

    def fed(self, samples: int) -> None:
        """That many values were appended to feeds (the account has accepted them)."""
        self._fed += samples
        while self._fed > max_fed:
            self._fold_feed(self._feeds.next_waiting())

    def add(self, context: Context, values: Sequence[Any], rate: float = 1.0, time_s: int | None = None) -> None:
        """Put accepted values into the bucket of `time_s` (Unix seconds; none, or later than now: the open one)."""
        start_s = self._open_s if time_s is None or time_s > self._now_s else time_s - time_s % interval_s
        if start_s == self._open_s:
            # What waits in the feed arrived before: a gauge's last value must stay the last.
            waiting = self._feeds.get(context, rate)
            if waiting is not None and waiting.values:
                self._fold_feed(waiting)
        self._put(start_s, context, values, rate)

    def fold(self) -> None:
        """Move everything from the feeds into the open bucket."""
        for feed in self._feeds.all():
            if feed.values:
                self._fold_feed(feed)

    def fold_in_slices(self) -> Iterator[None]:
        """The same, stopping after every millisecond or so; feeds may be filled and forgotten between two slices."""
        feeds = self._feeds.all()
        for first in range(0, len(feeds), feeds_per_slice):
            if first:
                yield
            for feed in feeds[first : first + feeds_per_slice]:
                if feed.values:
                    self._fold_feed(feed)

    def forget_feeds(self) -> None:
        """Fold, then let go of all feeds; who kept some must ask for them anew."""
        self.fold()
        self._feeds.clear()

    # --- out ---

    def cut(self, *, include_open: bool) -> None:
        """Fold, and set the closed buckets aside for `take`, the open one too if asked for."""
        self.fold()
        self.cut_folded(include_open=include_open, all_of_it=True)

    def cut_folded(self, *, include_open: bool, all_of_it: bool = False) -> None:
        """The same without what waits in feeds, which belongs to the open bucket.

        Of a bucket that was cut so often that no second is left, what is told by points waits: for its end, if it is open.
        With `all_of_it` it gets one behind that end.
        """
        for start_s, bucket in list(self._buckets.items()):
            if start_s == self._open_s and not include_open:
                continue
            time_s: int | None = start_s
            if start_s in self._with_points:
                time_s = self._part_seconds.claim(start_s, open_s=self._open_s, all_of_it=all_of_it)
            if time_s is None:
                self._cut.append((start_s, start_s, _take_sketches(bucket)))
            else:
                self._with_points.discard(start_s)
                self._cut.append((start_s, time_s, self._buckets.pop(start_s)))

    def take(self) -> Gathered | None:
        """The next of what was cut; its samples are the caller's from here on."""
        while self._cut:
            start_s, time_s, bucket = self._cut[0]
            if bucket:
                context, values = bucket.popitem()
                self._contexts -= 1
                self._samples -= values.samples
                self._bytes -= context.size + values.size
                self._tag_set_limit.release(start_s, context.name)
                if start_s == self._open_s and isinstance(values, Cumulative):
                    has_successor = context in self._buckets.get(start_s, ())
                    if not has_successor:
                        self._predecessors.put(context, values)
                return Gathered(start_s, time_s, context, values)
            self._cut.popleft()
        return None

    @property
    def told_until_s(self) -> int:
        """The last second of an open bucket, or behind it, of which points were told: for who comes in this one's place."""
        return self._part_seconds.told_until_s

    @property
    def wants_cut(self) -> bool:
        """Whether closed buckets take so much room that they should be encoded before the next flush comes."""
        open_contexts = len(self._buckets.get(self._open_s, ()))
        return self._contexts > open_contexts and (
            2 * self._contexts > self._max_contexts or 2 * self._bytes > self._max_bytes
        )

    def statistics(self) -> AggregatorStatistics:
        return AggregatorStatistics(
            contexts=self._contexts,
            samples=self._samples + self._fed,
            bytes=self._bytes,
            max_contexts=self._max_contexts,
            max_bytes=self._max_bytes,
        )

    def _fold_feed(self, feed: Feed) -> None:
        self._fed -= len(feed.values)
        self._put(self._open_s, feed.context, feed.values, feed.rate)
        feed.values.clear()

    def _put(self, start_s: int, context: Context, values: Sequence[Any], rate: float) -> None:
        if self._copies_to is not None and context.type is MetricType.HISTOGRAM:
            self._account.accept(len(values), 0)
            copy = Context(self._copies_to + context.name, MetricType.DISTRIBUTION, context.tags, context.resources)
            self._put(start_s, copy, values, rate)
        bucket = self._buckets.get(start_s)
        gathered = bucket.get(context) if bucket is not None else None
        is_new = gathered is None
        if gathered is None:
            if self._contexts >= self._max_contexts:
                self._refuse("context_limit", context, values)
                return
            if self._is_full:
                self._refuse("memory_limit", context, values)
                return
            if not self._tag_set_limit.admit(start_s, context.name):
                self._refuse("tag_cardinality_limit", context, values)
                return
            gathered = self._begin(start_s, context)
            if bucket is None:
                bucket = self._buckets[start_s] = {}
            bucket[context] = gathered
            if not isinstance(gathered, Distribution):
                self._with_points.add(start_s)
            self._contexts += 1
            self._bytes += context.size
        elif gathered.grows and self._is_full:
            self._refuse("memory_limit", context, values)
            return
        before = 0 if is_new else gathered.size
        gathered.add(values, rate)
        self._samples += len(values)
        self._bytes += gathered.size - before

    def _begin(self, start_s: int, context: Context) -> Accumulator:
        """For a context that has none in this bucket, or whose last one was cut."""
        make = accumulators[context.type]
        if start_s != self._open_s or not issubclass(make, Cumulative):
            return make()
        predecessor = self._predecessors.pop(context)
        # What still waits to be taken is later than what was.
        for cut_s, _, bucket in self._cut:
            waiting = bucket.get(context) if cut_s == start_s else None
            if isinstance(waiting, Cumulative):
                predecessor = waiting
        return make() if predecessor is None else predecessor.successor()

    @property
    def _is_full(self) -> bool:
        return self._bytes + self._predecessors.size >= self._max_bytes

    def _refuse(self, reason: str, context: Context, values: Sequence[Any]) -> None:
        self._account.drop(reason, len(values), len(values) * context.line_size)
        log.warning(
            f"metrics_{reason}_reached",
            metric=context.name,
            contexts=self._contexts,
            bytes=self._bytes,
            dropped=self._account.dropped(reason).items,
        )

    def _held(self) -> Amount:
        return Amount(self._samples + self._fed, self._bytes)


def _take_sketches(bucket: _Bucket) -> _Bucket:
    """The distributions of a bucket, which are no longer in it."""
    sketches: _Bucket = {context: values for context, values in bucket.items() if isinstance(values, Distribution)}
    for context in sketches:
        del bucket[context]
    return sketches
