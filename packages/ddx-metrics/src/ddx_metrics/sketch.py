"""The Agent's distribution sketch: a sparse histogram with geometric bins, bit-compatible with the Agent's. Pure.

Rules of this file:
- A value falls into bin k when it is nearest (by ratio) to γᵏ⁻¹³³⁸; k is negative for negative values and 0 around zero.
- Bins are sorted by key. A bin counts to 65,535; of several bins with one key the full ones come last.
- At most 4,096 bins: beyond that the leftmost are folded into their right neighbour, so the upper quantiles stay exact.
- Many values at once are counted by key and sorted into bins later, few go into their bins; the result is the same.
- There can be a hundred thousand sketches, so they are small and nothing that the garbage collector has to look at.
- The summary (count, sum, min, max, average) is kept beside the bins, in order of arrival, not computed from them.
Values must be finite: who calls has seen to it.

The constants and the rules of what a bin is and holds are the Agent's (DataDog/opentelemetry-mapping-go, pkg/quantile).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf, log, log1p
from typing import Final

import msgspec

gamma: Final = 1.015625
"""Ratio of neighbouring bins: 1 + 2/128, for a relative accuracy of 1/128."""
bias: Final = 1338
"""The key of 1.0."""
max_key: Final = 32767
"""The key of everything too large for the others."""
bin_limit: Final = 4096
max_bin: Final = 65535

_ln_gamma: Final = log1p(gamma - 1)
_smallest: Final = gamma ** (1 - bias)
_max_weight: Final = 1_000_000
_max_unsorted: Final = 512
_few: Final = 8
_bytes_empty: Final = 320

# A double of this size has no room for a fraction: a small number added to it comes out whole, rounded half to even, in a
# third of the time that `round` takes. Values wait to be sorted under such a *mark*: this plus their key, less the bias.
_whole: Final = 1.5 * 2.0**52
_lowest_mark: Final = _whole + (1 - bias)
_highest_mark: Final = _whole + (max_key - bias)


def key(value: float) -> int:
    """The bin of a finite value."""
    if value < 0:
        return -_positive_key(-value)
    return _positive_key(value)


def representative(key: int) -> float:
    """The value a bin stands for."""
    if key < 0:
        return -representative(-key)
    if key == 0:
        return 0.0
    return inf if key >= max_key else gamma ** (key - bias)


def weights(rate: float) -> tuple[int, float]:
    """What one value sampled at `rate` stands for: that many whole values in the bins, and this factor in sums.

    A rate outside (0, 1] counts as 1. Rates below one in a million are taken as that, so that no line can claim bins
    without end.
    """
    if not 0 < rate < 1:
        return 1, 1.0
    factor = min(1 / rate, float(_max_weight))
    return int(factor), factor


def _no_keys() -> array[int]:
    return array("h")


def _no_counts() -> array[int]:
    return array("H")


class Sketch(msgspec.Struct, kw_only=True, gc=False, eq=False):
    """One distribution. `min` and `max` are 0.0 while it is empty. Made without arguments, or with a `limit` of bins."""

    limit: int = bin_limit
    count: int = 0
    sum: float = 0.0
    min: float = 0.0
    max: float = 0.0
    average: float = 0.0
    # Keys fit 16 bits signed, counts 16 bits unsigned: four bytes a bin.
    _keys: array[int] = msgspec.field(default_factory=_no_keys)
    _counts: array[int] = msgspec.field(default_factory=_no_counts)
    _unsorted: Counter[float] | None = None

    def insert(self, values: Sequence[float], rate: float = 1.0) -> None:
        """Add finite values that were sampled at `rate`."""
        if not values:
            return
        weight, factor = weights(rate)
        lowest, highest = min(values), max(values)
        self.min = min(self.min, lowest) if self.count else lowest
        self.max = max(self.max, highest) if self.count else highest
        count, total, average = self.count, self.sum, self.average
        if rate == 1.0:
            for value in values:
                count += 1
                total += value
                average += (value - average) / count
        else:
            for value in values:
                count += weight
                total += value * factor
                average += (value - average) * weight / count
        self.count, self.sum, self.average = count, total, average
        if self._unsorted is None and len(values) <= _few:
            for value in values:
                self._add(key(value), weight, 0)
            if len(self._keys) > self.limit:
                self._keys, self._counts = trim(self._keys, self._counts, self.limit)
            return
        if lowest >= _smallest:
            # The common case, spelt out: this line is most of what an insert costs.
            marks = [x / _ln_gamma + _whole for x in map(log, values)]
            if highest > 1e200:
                marks = [min(mark, _highest_mark) for mark in marks]
            if lowest < 1e-8:
                marks = [max(mark, _lowest_mark) for mark in marks]
        else:
            marks = [_whole + (key(value) - bias) for value in values]
        unsorted = self._unsorted
        if unsorted is None:
            unsorted = self._unsorted = Counter()
        if weight == 1:
            unsorted.update(marks)
        else:
            for mark in marks:
                unsorted[mark] += weight
        if len(unsorted) > _max_unsorted:
            self._sort()

    def insert_weighted(self, weighted: Iterable[tuple[float, int]]) -> None:
        """Add finite values, each as often as its weight says."""
        bins: Counter[int] = Counter()
        for value, weight in weighted:
            self.min = min(self.min, value) if self.count else value
            self.max = max(self.max, value) if self.count else value
            self.count += weight
            self.sum += value * weight
            self.average += (value - self.average) * weight / self.count
            bins[key(value)] += weight
        self.add_bins(sorted(bins.items()))

    def insert_spread(self, lower: float, upper: float, times: int) -> None:
        """Add `times` values of which only two bounds are known, as if spread evenly between them (a histogram's bucket)."""
        self.insert_weighted(spread(lower, upper, times))

    def merge(self, other: Sketch) -> None:
        """Take another sketch in; it stays as it is."""
        if not other.count:
            return
        if self.count:
            self.min = min(self.min, other.min)
            self.max = max(self.max, other.max)
            self.count += other.count
            self.sum += other.sum
            self.average += (other.average - self.average) * other.count / self.count
        else:
            self.min, self.max, self.count = other.min, other.max, other.count
            self.sum, self.average = other.sum, other.average
        self.add_bins(other.bins())

    def add_bins(self, bins: Iterable[tuple[int, int]]) -> None:
        """Take in bins that are sorted by key, each with a count of at least 1; the summary is left alone."""
        self._sort()
        position = 0
        for each, times in bins:
            position = self._add(each, times, position)
        self._keys, self._counts = trim(self._keys, self._counts, self.limit)

    def bins(self) -> list[tuple[int, int]]:
        """(key, count) in order; a key whose count outgrew one bin comes more than once."""
        return list(zip(*self.columns(), strict=True))

    def columns(self) -> tuple[array[int], array[int]]:
        """The keys and the counts of all bins, in order. The sketch's own arrays: read them, and soon."""
        self._sort()
        return self._keys, self._counts

    @property
    def size(self) -> int:
        """Roughly the memory it takes, in bytes."""
        return _bytes_empty + 4 * len(self._keys) + 100 * len(self._unsorted or ())

    def quantile(self, q: float) -> float | None:
        """The value below which a share `q` of all values lies, within 1/128 of it; None when empty."""
        if not self.count:
            return None
        if q <= 0:
            return self.min
        if q >= 1:
            return self.max
        self._sort()
        rank = round(q * (self.count - 1))
        seen = 0
        for index, (each, times) in enumerate(zip(self._keys, self._counts, strict=True)):
            seen += times
            if seen > rank:
                share = (seen - rank) / times
                low = representative(each)
                high = low * gamma
                if index == 0:
                    low = self.min
                return min(max(low * share + high * (1 - share), self.min), self.max)
        return self.max

    def _sort(self) -> None:
        if self._unsorted is not None:
            fresh = sorted((int(mark - _whole) + bias, times) for mark, times in self._unsorted.items())
            self._unsorted = None
            self.add_bins(fresh)

    def _add(self, key: int, times: int, start: int) -> int:
        """Add to the first bin with this key at or after `start`; returns the position after what it has become."""
        keys, counts = self._keys, self._counts
        index = bisect_left(keys, key, start)
        exists = index < len(keys) and keys[index] == key
        if exists:
            times += counts[index]
        if times <= max_bin:
            if exists:
                counts[index] = times
            else:
                keys.insert(index, key)
                counts.insert(index, times)
            return index + 1
        full, rest = divmod(times, max_bin)
        grown = array("H", [rest] if rest else []) + array("H", [max_bin]) * full
        end = index + 1 if exists else index
        keys[index:end] = array("h", [key]) * len(grown)
        counts[index:end] = grown
        return index + len(grown)


def spread(lower: float, upper: float, times: int) -> list[tuple[float, int]]:
    """(value, weight) for `times` values spread evenly from `lower` to `upper`: each bin's share of them at what
    the bin stands for. Shares below one are added to the bin after; fractions are carried on."""
    farthest = representative(max_key - 1)
    lower, upper = (min(max(bound, -farthest), farthest) for bound in (lower, upper))
    first, last = key(lower), key(upper)
    width = upper - lower
    shares: list[tuple[float, int]] = []
    left, carried = times, 0.0
    start = representative(first)
    for each in range(first + 1, last + 1):
        if left <= 0:
            break
        end = representative(each)
        share = (end - start) / width * times
        whole = int(share)
        if share > 1:
            carried += share - whole
        if carried > 1:
            whole += 1
            carried -= 1
        if whole > 0:
            whole = min(whole, left)
            shares.append((start, whole))
            left -= whole
            start = end
    if left > 0:
        shares.append((start, left))
    return shares


def trim(keys: array[int], counts: array[int], limit: int) -> tuple[array[int], array[int]]:
    """Fold the leftmost bins into the first that stays, down to `limit`; full bins that this makes stay before it."""
    surplus = len(keys) - limit
    if surplus <= 0:
        return keys, counts
    full_keys, full_counts = array("h"), array("H")
    carry = 0
    for each, times in zip(keys[:surplus], counts[:surplus], strict=True):
        carry += times
        if carry > max_bin:
            full_keys.append(each)
            full_counts.append(max_bin)
            carry -= max_bin
    kept = carry + counts[surplus]
    if kept > max_bin:
        full_keys.append(keys[surplus])
        full_counts.append(kept - max_bin)
        kept = max_bin
    counts[surplus] = kept
    return full_keys + keys[surplus:], full_counts + counts[surplus:]


def _positive_key(value: float) -> int:
    if value < _smallest:
        return 0
    if value == inf:
        return max_key
    return min(max(round(log(value) / _ln_gamma) + bias, 1), max_key)
