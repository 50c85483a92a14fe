"""The sketches inside trace statistics: protobuf DDSketch, with its field numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ..sketches import StatsSketch, empty_stats_sketch
from . import wire
from .errors import DecodeError


class _IndexMapping(msgspec.Struct, frozen=True):
    gamma: float = 0.0
    offset: float = 0.0
    interpolation: int = 0


class _Bins(msgspec.Struct, frozen=True):
    sparse: dict[int, float] = {}
    contiguous: Sequence[float] = ()
    first_index: int = 0


class _DDSketch(msgspec.Struct, frozen=True):
    mapping: _IndexMapping | None = None
    positive: _Bins | None = None
    negative: _Bins | None = None
    zeros: float = 0.0


_bins_shape = wire.Message(
    _Bins,
    {
        1: wire.mapping("sparse", wire.sint32, wire.double),
        2: wire.many("contiguous", wire.double),
        3: wire.one("first_index", wire.sint32),
    },
)
_sketch_shape = wire.Message(
    _DDSketch,
    {
        1: wire.one(
            "mapping",
            wire.Message(
                _IndexMapping,
                {
                    1: wire.one("gamma", wire.double),
                    2: wire.one("offset", wire.double),
                    3: wire.one("interpolation", wire.enum),
                },
            ),
        ),
        2: wire.one("positive", _bins_shape),
        3: wire.one("negative", _bins_shape),
        4: wire.one("zeros", wire.double),
    },
)


def read_stats_sketch(data: bytes) -> StatsSketch:
    """The `OkSummary` or `ErrorSummary` of a stats group, a protobuf DDSketch; nothing at all is an empty one."""
    if not data:
        return empty_stats_sketch
    sketch = wire.read_message(_sketch_shape, data)
    if sketch.mapping is None or not 1 < sketch.mapping.gamma < 100:
        raise DecodeError("a stats sketch without a usable mapping")
    if sketch.mapping.interpolation != 0:
        raise DecodeError(f"a stats sketch with interpolation {sketch.mapping.interpolation}, only 0 is in use")
    negative = sketch.negative
    if negative is not None and (any(negative.contiguous) or any(negative.sparse.values())):
        raise DecodeError("a stats sketch with negative durations")
    bins = _stats_bins(sketch.positive or _Bins())
    if not all(map(math.isfinite, (sketch.mapping.offset, sketch.zeros, *(count for _, count in bins)))):
        raise DecodeError("a stats sketch with numbers that are not finite")
    return StatsSketch(gamma=sketch.mapping.gamma, offset=sketch.mapping.offset, bins=bins, zeros=sketch.zeros)


def _stats_bins(store: _Bins) -> tuple[tuple[int, float], ...]:
    bins = dict(store.sparse)
    for index, count in enumerate(store.contiguous, store.first_index):
        if count:
            bins[index] = bins.get(index, 0.0) + count
    return tuple(sorted(bins.items()))
