"""The statistics' sketch: the published mapping, what is folded when there are too many bins, the wire form, merging."""

from __future__ import annotations

import struct
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.proto.ddsketch_pb2 import DDSketch, IndexMapping, Store
from ddx_traces.stats.sketch import (
    Sketch,
    contiguous,
    encode,
    gamma,
    index,
    index_offset,
    merge_encoded,
    multiplier,
    relative_accuracy,
    representative,
    smallest,
)


def test_the_mapping_is_the_backends() -> None:
    assert (gamma, multiplier, index_offset) == (1.015625, 64.49870798963154, 1338.5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1338),
        (5, 1442),
        (1000, 1784),
        (1_000_000, 2229),
        (2_000_000, 2274),
        (123_456_789, 2540),
        (1_000_000_000, 2675),
        (3_000_000_000, 2745),
    ],
)
def test_values_fall_into_the_published_bins(value: int, expected: int) -> None:
    assert index(value) == expected
    sketch = Sketch()
    sketch.insert([value])
    assert sketch.bins == {expected: 1}


def unfold(bins: dict[int, float], limit: int) -> dict[int, float]:
    lowest, counts = contiguous(bins, limit=limit)
    return dict(enumerate(counts, lowest))


def test_too_many_bins_are_folded_into_the_lowest_one_kept() -> None:
    bins = dict.fromkeys(range(10, 15), 1.0) | {0: 1.0, 1: 1.0, 2: 1.0}
    assert unfold(bins, 5) == {10: 4, 11: 1, 12: 1, 13: 1, 14: 1}
    assert unfold(bins | {15: 1.0}, 5) == {11: 5, 12: 1, 13: 1, 14: 1, 15: 1}
    assert unfold({3: 1.0, 1: 1.0}, 3) == {1: 1, 2: 0, 3: 1}


def test_wire_form_byte_for_byte() -> None:
    mapping = b"\x09" + struct.pack("<d", 1.015625) + b"\x11" + struct.pack("<d", 1338.5)
    empty = b"\x0a" + bytes([len(mapping)]) + mapping + b"\x12\x00\x1a\x00"
    sketch = Sketch()
    assert sketch.encode() == empty
    sketch.insert([1, 1, 0])
    counts = struct.pack("<d", 2.0)
    # Field 2 packed, field 3 in zigzag form: 1338 is written as 2676.
    store = b"\x12" + bytes([len(counts)]) + counts + b"\x18\xf4\x14"
    assert sketch.encode() == (
        b"\x0a" + bytes([len(mapping)]) + mapping
        + b"\x12" + bytes([len(store)]) + store
        + b"\x1a\x00" + b"\x21" + struct.pack("<d", 1.0)
    )  # fmt: skip


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_values_that_are_no_durations_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no duration"):
        Sketch().insert_weighted(value, 1.0)


def test_values_too_small_to_tell_are_zero() -> None:
    sketch = Sketch()
    assert sketch.insert_weighted(smallest / 2, 3.0) == 0
    assert (sketch.zeros, sketch.bins) == (3.0, {})


def test_weighted_values_count_besides_the_others() -> None:
    sketch = Sketch()
    assert sketch.insert([5, 5]) == 1
    assert sketch.insert_weighted(5, 2.5) == 1
    assert sketch.insert_weighted(5, 1.0) == 0
    assert sketch.bins == {1442: 5.5}


def quantile(sketch: bytes, share: float) -> float:
    message = DDSketch.FromString(sketch)
    store = message.positiveValues
    rank = share * (message.zeroCount + sum(store.contiguousBinCounts) - 1)
    seen = message.zeroCount
    if seen > rank:
        return 0.0
    for key, count in enumerate(store.contiguousBinCounts, store.contiguousBinIndexOffset):
        seen += count
        if seen > rank:
            return representative(key)
    raise AssertionError(rank)


durations = st.integers(0, 10**13)


@given(st.lists(durations, min_size=1, max_size=60), st.sampled_from([0.0, 0.5, 0.75, 0.95, 0.99, 1.0]))
def test_quantiles_are_within_one_percent(values: list[int], share: float) -> None:
    sketch = Sketch()
    sketch.insert(values)
    rank = share * (len(values) - 1)
    exact = sorted(values)[int(rank) if rank == int(rank) else ceil(rank) - 1]
    assert abs(quantile(sketch.encode(), share) - exact) <= 0.01 * exact
    assert relative_accuracy < 0.01


@given(st.lists(durations, max_size=30), st.lists(durations, max_size=30))
def test_merging_is_the_same_as_counting_together(first: list[int], second: list[int]) -> None:
    one, other, both = Sketch(), Sketch(), Sketch()
    one.insert(first)
    other.insert(second)
    both.insert(first + second)
    merged = merge_encoded(one.encode(), other.encode())
    assert merged is not None
    assert DDSketch.FromString(merged) == DDSketch.FromString(both.encode())


def test_sketches_in_the_sparse_form_are_merged_too() -> None:
    mapping = IndexMapping(gamma=1.02, indexOffset=0)
    sparse = DDSketch(mapping=mapping, positiveValues=Store(binCounts={-3: 1.0, 4: 2.0}), zeroCount=1)
    dense = DDSketch(
        mapping=mapping,
        positiveValues=Store(contiguousBinCounts=[1.0, 0.0, 5.0], contiguousBinIndexOffset=3),
        negativeValues=Store(contiguousBinCounts=[2.0], contiguousBinIndexOffset=7),
    )
    merged = DDSketch.FromString(merge_encoded(sparse.SerializeToString(), dense.SerializeToString()) or b"")
    assert dict(enumerate(merged.positiveValues.contiguousBinCounts, merged.positiveValues.contiguousBinIndexOffset)) == {
        -3: 1, -2: 0, -1: 0, 0: 0, 1: 0, 2: 0, 3: 1, 4: 2, 5: 5,
    }  # fmt: skip
    assert (list(merged.negativeValues.contiguousBinCounts), merged.zeroCount) == ([2.0], 1.0)


def test_what_cannot_be_merged_without_loss_is_not() -> None:
    sketch = Sketch()
    sketch.insert([5])
    ours = sketch.encode()
    other_mapping = DDSketch(mapping=IndexMapping(gamma=1.02), positiveValues=Store(binCounts={1: 1}))
    assert merge_encoded(ours, other_mapping.SerializeToString()) is None
    assert merge_encoded(ours, b"\xff") is None
    assert merge_encoded(ours, encode({index(5) + 2048: 1.0}, 0)) is None
    assert merge_encoded(ours, encode({1: float("nan")}, 0)) is None
    assert merge_encoded(ours, encode({1: 1.0}, float("inf"))) is None
    assert merge_encoded(encode({1: 1e308}, 0), encode({1: 1e308}, 0)) is None


def test_nothing_and_a_sketch_are_that_sketch() -> None:
    for nothing in (b"", Sketch().encode()):
        for foreign in (b"\xff", b"", encode({1: 1.0}, 0)):
            assert merge_encoded(nothing, foreign) == foreign
            assert merge_encoded(foreign, nothing) in (foreign, nothing)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_any_bytes_are_merged_or_not(first: bytes, second: bytes) -> None:
    merge_encoded(first, second)
