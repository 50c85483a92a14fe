"""The two sketches that arrive: of distribution metrics, and of span durations in trace statistics. Values and quantiles.

Rule: written from the published parameters, apart from the code that builds sketches to be sent.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

import msgspec

# Distribution metrics: relative accuracy 1/128, so that neighbouring bins are 1 + 2/128 apart; key 1338 stands for 1.0.
_gamma = 1.015625
_bias = 1338
_smallest = _gamma ** (1 - _bias)
_infinity_key = 32767

_largest_exponent = math.log(sys.float_info.max) - 1


class Sketch(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution metric's bins and summary at one timestamp."""

    cnt: int
    sum: float
    min: float
    max: float
    avg: float
    bins: tuple[tuple[int, int], ...]
    """(key, count) in ascending order of key; a key may come several times, as one bin's count is limited."""

    def quantile(self, q: float) -> float | None:
        """The value below which the share `q` (0 … 1) of the samples lies; None when there are none."""
        if self.cnt == 0 or not self.bins:
            return None
        if q <= 0:
            return self.min
        if q >= 1:
            return self.max
        rank = round(q * (self.cnt - 1))
        seen = 0
        for index, (key, count) in enumerate(self.bins):
            seen += count
            if seen > rank:
                weight = (seen - rank) / count
                low = representative(key)
                high = low * _gamma
                if index == 0:
                    low = self.min
                return min(max(low * weight + high * (1 - weight), self.min), self.max)
        return self.max


def representative(key: int) -> float:
    """The value that a bin stands for."""
    if key < 0:
        return -representative(-key)
    if key == 0:
        return 0.0
    return math.inf if key >= _infinity_key else _gamma ** (key - _bias)


def key_of(value: float) -> int:
    if value < 0:
        return -key_of(-value)
    if value < _smallest:
        return 0
    if math.isinf(value):
        return _infinity_key
    return min(max(round(math.log(value) / math.log1p(2 / 128)) + _bias, 1), _infinity_key)


def summarize(values: Iterable[float]) -> Sketch:
    """The sketch that single values amount to, for an endpoint that takes the values themselves."""
    bins: dict[int, int] = {}
    count, total, low, high = 0, 0.0, math.inf, -math.inf
    for value in values:
        key = key_of(value)
        bins[key] = bins.get(key, 0) + 1
        count, total, low, high = count + 1, total + value, min(low, value), max(high, value)
    if not count:
        return Sketch(cnt=0, sum=0.0, min=0.0, max=0.0, avg=0.0, bins=())
    return Sketch(cnt=count, sum=total, min=low, max=high, avg=total / count, bins=tuple(sorted(bins.items())))


class StatsSketch(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in nanoseconds: bin index and (fractional) count, zeros apart."""

    gamma: float
    offset: float
    bins: tuple[tuple[int, float], ...]
    zeros: float

    @property
    def count(self) -> float:
        return self.zeros + math.fsum(count for _, count in self.bins)

    def quantile(self, q: float) -> float | None:
        """Within the sketch's relative accuracy; None when it is empty."""
        total = self.count
        if total <= 0:
            return None
        rank = q * (total - 1)
        seen = self.zeros
        if seen > rank:
            return 0.0
        for index, count in self.bins:
            seen += count
            if seen > rank:
                return self.value(index)
        return self.value(self.bins[-1][0]) if self.bins else 0.0

    def value(self, index: int) -> float:
        """The middle of a bin, at which the error to both ends is the same."""
        exponent = (index - self.offset) * math.log(self.gamma)
        if exponent > _largest_exponent:
            return math.inf
        return math.exp(exponent) * 2 * self.gamma / (1 + self.gamma)


empty_stats_sketch = StatsSketch(gamma=_gamma, offset=_bias + 0.5, bins=(), zeros=0.0)
