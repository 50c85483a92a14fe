"""Accumulators: what values of one context become."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_metrics.accumulate import Count, Distribution, Gauge, Histogram, Members, exact_values
from ddx_metrics.series import Point, SeriesType, points_of

default_aggregates = ("max", "median", "avg", "count")


def histogram_of(*batches: tuple[list[float], float]) -> Histogram:
    histogram = Histogram()
    for values, rate in batches:
        histogram.add(values, rate)
    return histogram


def test_counts_gauges_and_sets() -> None:
    count, gauge, members = Count(), Gauge(), Members()
    count.add([1.0, 2.0], 1.0)
    count.add([1.0], 0.1)
    gauge.add([1.0, 5.0, 3.0], 1.0)
    members.add(["a", "b", "a"], 1.0)
    assert (count.total, count.samples) == (13.0, 3)
    assert (gauge.last, gauge.samples) == (3.0, 3)
    assert (members.different, members.samples) == ({"a", "b"}, 3)
    assert points_of("m", count, (), ()) == [Point("m", SeriesType.COUNT, 13.0)]
    assert points_of("m", gauge, (), ()) == [Point("m", SeriesType.GAUGE, 3.0)]
    assert points_of("m", members, (), ()) == [Point("m", SeriesType.GAUGE, 2.0)]


def test_a_histogram_makes_the_default_aggregates() -> None:
    histogram = histogram_of(([4.0, 1.0, 3.0, 2.0], 1.0))
    assert sorted(points_of("m", histogram, default_aggregates, (95,)), key=lambda point: point.name) == [
        Point("m.95percentile", SeriesType.GAUGE, 4.0),
        Point("m.avg", SeriesType.GAUGE, 2.5),
        Point("m.count", SeriesType.RATE, 0.4),
        Point("m.max", SeriesType.GAUGE, 4.0),
        Point("m.median", SeriesType.GAUGE, 2.0),
    ]


def test_a_histogram_makes_the_aggregates_it_is_told_to() -> None:
    histogram = histogram_of(([float(value) for value in range(1, 101)], 1.0))
    points = points_of("m", histogram, ("sum", "min", "unknown"), (99, 1, 50, 100))
    assert {point.name: point.value for point in points} == {
        "m.sum": 5050.0, "m.min": 1.0, "m.1percentile": 1.0, "m.50percentile": 50.0, "m.99percentile": 99.0,
        "m.100percentile": 100.0,
    }  # fmt: skip
    assert points_of("m", histogram, (), ()) == []


def test_sample_rates_weigh_values_of_a_histogram() -> None:
    histogram = histogram_of(([1.0], 0.1), ([2.0], 0.3), ([3.0, 3.0], 1.0))
    assert (histogram.samples, histogram.count) == (4, 15)
    assert histogram.sum == pytest.approx(10 + 2 * (1 / 0.3) + 6)
    # 1 ten times, 2 three times, 3 twice.
    assert histogram.ranked([7, 9, 10, 12, 13, 14]) == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(-50, 50).map(float), st.sampled_from([1.0, 0.5, 0.1])), min_size=1, max_size=40),
    st.lists(st.integers(1, 100), max_size=5, unique=True),
)
def test_histograms_equal_a_naive_list_of_weighted_values(
    weighted: list[tuple[float, float]], percentiles: list[int]
) -> None:
    histogram = histogram_of(*(([value], rate) for value, rate in weighted))
    spread = sorted(value for value, rate in weighted for _ in range(int(1 / rate)))
    points = {point.name: point.value for point in points_of("m", histogram, ("median", "max", "min"), percentiles)}
    assert points["m.median"] == spread[(len(spread) - 1) // 2]
    assert (points["m.min"], points["m.max"]) == (spread[0], spread[-1])
    for percentile in percentiles:
        assert points[f"m.{percentile}percentile"] == spread[(percentile * len(spread) - 1) // 100]


def test_a_histogram_of_very_many_different_values_goes_on_in_a_sketch() -> None:
    histogram = Histogram()
    for first in range(0, 3 * exact_values, 1000):
        histogram.add([float(value) for value in range(first, first + 1000)], 1.0)
    count = histogram.samples
    assert (histogram.count, histogram.min, histogram.max) == (count, 0.0, count - 1)
    assert histogram.average == pytest.approx((count - 1) / 2)
    assert histogram.ranked([(count - 1) // 2])[0] == pytest.approx(count / 2, rel=0.025)
    assert histogram.size < exact_values * 20


@pytest.mark.parametrize("kind", [Members, Histogram, Distribution])
def test_kinds_that_grow_say_by_how_much(kind: type[Members | Histogram | Distribution]) -> None:
    accumulator = kind()
    before = accumulator.size
    values = [str(value) if kind is Members else float(value) for value in range(1, 200)]
    accumulator.add(values, 1.0)
    grown = accumulator.size
    assert grown > before
    accumulator.add(values, 1.0)
    assert accumulator.size <= grown
    assert accumulator.grows
