"""The sketch of trace statistics: a DDSketch with a logarithmic mapping, as the backend reads it. Pure.

Rules of this file:
- A positive value falls into the bin whose index is floor(ln(value) × multiplier + offset); one too small for a double is zero.
- At most 2,048 bins in a row: when more are needed the lowest are added into the lowest one kept. That is done once, when the
  sketch is encoded: the sums are the same in whatever order values came.
- Two sketches are merged when that loses nothing: equal mappings, and together no more bins than one may have.

The wire form is the published ddsketch.proto of DataDog/sketches-go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import exp, floor, inf, isfinite, log
from typing import Final

from google.protobuf.message import DecodeError

from ddx_core.proto.ddsketch_pb2 import DDSketch, IndexMapping, Store

relative_accuracy: Final = 0.007751937984496124
gamma: Final = (1 + relative_accuracy) / (1 - relative_accuracy)
multiplier: Final = 1 / log(gamma)
smallest: Final = 2.2250738585072014e-308 * gamma
"""Values below this one are counted as zero: the smallest normal double, one bin up."""
index_offset: Final = 1 - floor(log(1e-9) * multiplier) + 0.5
bin_limit: Final = 2048

_max_read_bins: Final = 1 << 14
"""No mapping in use has more of them between the smallest and the largest duration."""

_mapping = IndexMapping(gamma=gamma, indexOffset=index_offset)


def index(value: float) -> int:
    """The bin of a value of at least `smallest`."""
    return floor(log(value) * multiplier + index_offset)


def representative(index: int) -> float:
    """The value that a bin stands for: within the relative accuracy of every value in it."""
    return exp((index - index_offset) / multiplier) * (1 + relative_accuracy)


class Sketch:
    """Counts by bin: of values that came as they are, and of those that stood for others too."""

    __slots__ = ("_counts", "_weights", "zeros")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._weights: dict[int, float] | None = None
        self.zeros = 0.0

    @property
    def bins(self) -> dict[int, float]:
        bins: dict[int, float] = dict(self._counts)
        for key, weight in (self._weights or {}).items():
            bins[key] = bins.get(key, 0.0) + weight
        return bins

    def insert(self, durations: list[int]) -> int:
        """Add whole numbers from 0 on. Returns how many bins are new."""
        before = len(self._counts)
        scale, offset, ln = multiplier, index_offset, log
        try:
            # From 1 on the index is positive, so cutting and rounding down are one.
            keys = [int(ln(duration) * scale + offset) for duration in durations]
        except ValueError:
            positive = [duration for duration in durations if duration > 0]
            self.zeros += len(durations) - len(positive)
            keys = [int(ln(duration) * scale + offset) for duration in positive]
        self._counts.update(keys)
        return len(self._counts) - before

    def insert_weighted(self, value: float, weight: float) -> int:
        """Add one value that stands for `weight` of them. Negative and non-finite values are refused (ValueError)."""
        if not 0 <= value < inf:
            raise ValueError(f"{value} is no duration")
        if value < smallest:
            self.zeros += weight
            return 0
        weights = self._weights
        if weights is None:
            weights = self._weights = {}
        before = len(weights)
        key = index(value)
        weights[key] = weights.get(key, 0.0) + weight
        return len(weights) - before

    def encode(self) -> bytes:
        return encode(self.bins, self.zeros)


def encode(bins: Mapping[int, float], zeros: float, *, limit: int = bin_limit) -> bytes:
    """The wire form of a sketch with our mapping, an empty one included."""
    message = DDSketch(mapping=_mapping, positiveValues=Store(), negativeValues=Store(), zeroCount=zeros)
    if bins:
        lowest, counts = contiguous(bins, limit=limit)
        message.positiveValues.contiguousBinCounts.extend(counts)
        message.positiveValues.contiguousBinIndexOffset = lowest
    return message.SerializeToString()


_nothings = (b"", encode({}, 0.0))


def contiguous(bins: Mapping[int, float], *, limit: int = bin_limit) -> tuple[int, list[float]]:
    """The index of the first bin, and the counts from there on without a gap; the lowest are folded beyond `limit`."""
    highest = max(bins)
    lowest = max(min(bins), highest - limit + 1)
    counts = [0.0] * (highest - lowest + 1)
    for key, count in bins.items():
        counts[max(key - lowest, 0)] += count
    return lowest, counts


def merge_encoded(first: bytes, second: bytes) -> bytes | None:
    """Two tracers' sketches as one, or None when that would lose something (or when either is none)."""
    if first in _nothings:
        return second
    if second in _nothings:
        return first
    try:
        one, other = DDSketch.FromString(first), DDSketch.FromString(second)
    except DecodeError:
        return None
    if one.mapping != other.mapping or not one.mapping.gamma > 1 or not isfinite(one.zeroCount + other.zeroCount):
        return None
    merged = DDSketch(mapping=one.mapping, zeroCount=one.zeroCount + other.zeroCount)
    for target, stores in (
        (merged.positiveValues, (one.positiveValues, other.positiveValues)),
        (merged.negativeValues, (one.negativeValues, other.negativeValues)),
    ):
        target.SetInParent()
        bins = _add_up(stores)
        if bins is None:
            return None
        if bins:
            lowest, counts = contiguous(bins)
            target.contiguousBinCounts.extend(counts)
            target.contiguousBinIndexOffset = lowest
    return merged.SerializeToString()


def _add_up(stores: Iterable[Store]) -> dict[int, float] | None:
    """The bins of all `stores`; None when they are more than one store may have, or hold what is no count."""
    bins: dict[int, float] = {}
    for store in stores:
        if len(store.contiguousBinCounts) > _max_read_bins or len(store.binCounts) > _max_read_bins:
            return None
        for key, count in enumerate(store.contiguousBinCounts, store.contiguousBinIndexOffset):
            if count:
                bins[key] = bins.get(key, 0.0) + count
        for key, count in store.binCounts.items():
            bins[key] = bins.get(key, 0.0) + count
    if bins and (max(bins) - min(bins) >= bin_limit or not all(map(isfinite, bins.values()))):
        return None
    return bins
