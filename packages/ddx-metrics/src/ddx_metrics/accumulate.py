"""What one context gathers within one time bucket, by metric type. Pure.

Rules of this file:
- Every accumulator counts the samples it is made of (`samples`), so that accounts close whatever becomes of it.
- `add` takes a list of values of one sample rate, in order of arrival: text for sets, finite numbers for all others.
- There can be a hundred thousand of the small kinds, so those are nothing that the garbage collector has to look at.
- `size` is roughly the memory it takes, in bytes. Kinds that grow with their values say so in `grows`; the aggregator
  refuses them more when its memory is used up.
- Sets and histograms are cumulative: the one for a later part of a bucket is a `successor` that has all of those before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

from .sample import MetricType
from .sketch import Sketch, weights

_bytes_alone: Final = 200
_bytes_per_entry: Final = 120
exact_values: Final = 8_192
"""Different values up to which a histogram is exact; beyond that its median and percentiles come from a sketch."""


class Count(msgspec.Struct, gc=False, eq=False):
    """The sum of all values, each divided by its sample rate."""

    grows: ClassVar[bool] = False
    size: ClassVar[int] = _bytes_alone
    samples: int = 0
    total: float = 0.0

    def add(self, values: Sequence[Any], rate: float) -> None:
        self.samples += len(values)
        self.total += sum(values) if rate == 1.0 else sum(values) * weights(rate)[1]


class Gauge(msgspec.Struct, gc=False, eq=False):
    """The value that came last; a sample rate says nothing about it."""

    grows: ClassVar[bool] = False
    size: ClassVar[int] = _bytes_alone
    samples: int = 0
    last: float = 0.0

    def add(self, values: Sequence[Any], rate: float) -> None:
        self.samples += len(values)
        self.last = values[-1]


class Members:
    """The different values of a set."""

    __slots__ = ("different", "samples", "size")
    grows: ClassVar[bool] = True

    def __init__(self) -> None:
        self.samples = 0
        self.size = _bytes_alone
        self.different: set[str] = set()

    def add(self, values: Sequence[Any], rate: float) -> None:
        self.samples += len(values)
        for value in values:
            if value not in self.different:
                self.different.add(value)
                self.size += _bytes_per_entry + len(value)

    def successor(self) -> Members:
        """One for samples still to come that has seen all that this one has."""
        members = Members()
        members.different = self.different.copy()
        members.size = self.size
        return members


class Distribution(msgspec.Struct, gc=False, eq=False):
    """A sketch; while there is but one value, which is all that many contexts ever see, that value takes a fifth of the room."""

    grows: ClassVar[bool] = True
    samples: int = 0
    _alone: float = 0.0
    _made: Sketch | None = None

    def add(self, values: Sequence[Any], rate: float) -> None:
        before = self.samples
        self.samples += len(values)
        if self._made is None:
            if not before and len(values) == 1 and rate == 1.0:
                self._alone = values[0]
                return
            self._made = Sketch()
            if before:
                self._made.insert((self._alone,))
        self._made.insert(values, rate)

    @property
    def sketch(self) -> Sketch:
        """What has been added so far; to be read only."""
        if self._made is not None:
            return self._made
        sketch = Sketch()
        if self.samples:
            sketch.insert((self._alone,))
        return sketch

    @property
    def size(self) -> int:
        return _bytes_alone + (self._made.size if self._made is not None else 0)


class Histogram:
    """Weighted values, kept as they are while they are few enough. `inherited` of `count` are a predecessor's."""

    __slots__ = ("_sketch", "_weights", "count", "inherited", "max", "min", "samples", "sum")
    grows: ClassVar[bool] = True

    def __init__(self) -> None:
        self.samples = 0
        self.count = 0
        self.inherited = 0
        self.sum = 0.0
        self.min = 0.0
        self.max = 0.0
        self._weights: dict[float, int] = {}
        self._sketch: Sketch | None = None

    def add(self, values: Sequence[Any], rate: float) -> None:
        weight, factor = weights(rate)
        lowest, highest = min(values), max(values)
        self.min = min(self.min, lowest) if self.count else lowest
        self.max = max(self.max, highest) if self.count else highest
        self.samples += len(values)
        self.count += weight * len(values)
        for value in values:
            self.sum += value * factor
        if self._sketch is not None:
            self._sketch.insert(values, rate)
            return
        held = self._weights
        for value in values:
            held[value] = held.get(value, 0) + weight
        if len(held) > exact_values:
            self._sketch = Sketch()
            self._sketch.insert_weighted(held.items())
            self._weights = {}

    def successor(self) -> Histogram:
        """One for samples still to come that has seen all that this one has."""
        histogram = Histogram()
        histogram.count = histogram.inherited = self.count
        histogram.sum, histogram.min, histogram.max = self.sum, self.min, self.max
        histogram._weights = self._weights.copy()
        if self._sketch is not None:
            histogram._sketch = Sketch()
            histogram._sketch.merge(self._sketch)
        return histogram

    @property
    def size(self) -> int:
        sketched = self._sketch.size if self._sketch is not None else 0
        return _bytes_alone + sketched + _bytes_per_entry * len(self._weights)

    @property
    def average(self) -> float:
        return self.sum / self.count

    def ranked(self, ranks: Sequence[int]) -> list[float]:
        """For each rank (from 0, in ascending order) the first value at which the running weight exceeds it."""
        if self._sketch is not None:
            last = max(1, self.count - 1)
            return [self._sketch.quantile(rank / last) or 0.0 for rank in ranks]
        found: list[float] = []
        running = 0
        for value, weight in sorted(self._weights.items()):
            running += weight
            while len(found) < len(ranks) and running > ranks[len(found)]:
                found.append(value)
        return found


Accumulator = Count | Gauge | Members | Histogram | Distribution
Cumulative = Members | Histogram

accumulators: Final[dict[MetricType, type[Accumulator]]] = {
    MetricType.COUNT: Count,
    MetricType.GAUGE: Gauge,
    MetricType.SET: Members,
    MetricType.HISTOGRAM: Histogram,
    MetricType.DISTRIBUTION: Distribution,
}
