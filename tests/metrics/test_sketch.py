"""The sketch against published vectors (DataDog/opentelemetry-mapping-go, pkg/quantile, and its ports) and a naive model."""

from __future__ import annotations

import math
from array import array
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_metrics.sketch import Sketch, key, representative, trim, weights

smallest = 9.94185408912145e-10


def bins(text: str) -> list[tuple[int, int]]:
    """`0:1 0:65535` → bins."""
    return [(int(k), int(n)) for k, n in (pair.split(":") for pair in text.split())]


def sketch_of(*values: float, rate: float = 1.0) -> Sketch:
    sketch = Sketch()
    sketch.insert(values, rate)
    return sketch


keys = [
    (0.0, 0), (-0.0, 0), (9e-10, 0), (-1e-10, 0), (smallest, 1), (math.nextafter(smallest, 0), 0), (1e-9, 1),
    (6.16668e-07, 416), (1.86667e-06, 487), (1e-6, 447), (0.001, 892), (0.1, 1189), (0.125, 1204), (0.2, 1234),
    (0.3, 1260), (0.54904, 1299), (0.6, 1305), (-0.5, -1293), (0.5, 1293), (0.9, 1331), (1.0, 1338), (1.01, 1339),
    (1.5, 1364), (2.0, 1383), (2.28, 1391), (3.0, 1409), (3.15, 1412), (5, 1442), (10, 1487), (20, 1531), (30, 1557),
    (42, 1579), (-1, -1338), (100, 1635), (99.5, 1635), (128, 1651), (256, 1696), (1000, 1784), (1024, 1785),
    (2599.0, 1845), (94746, 2077), (269942, 2145), (1e6, 2229), (1e9, 2675), (1e12, 3120), (1e18, 4011),
    (1e100, 16189), (1e300, 32767), (-10, -1487), (-1e300, -32767), (math.inf, 32767), (-math.inf, -32767),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), keys)
def test_a_value_has_its_key(value: float, expected: int) -> None:
    assert key(value) == expected
    if math.isfinite(value):
        # The way many values take has the rule spelt out a second time.
        assert sketch_of(value).bins() == [(expected, 1)]
        assert sketch_of(*[value] * 20).bins() == [(expected, 20)]


def test_every_key_is_the_key_of_its_representative() -> None:
    assert all(key(representative(k)) == k for k in range(-32766, 32767))
    assert representative(1338) == 1.0
    assert representative(32766) == pytest.approx(4.137616223466104e211, rel=1e-12)
    assert (representative(32767), representative(-32767)) == (math.inf, -math.inf)


@given(st.floats(min_value=smallest, max_value=4e211))
def test_a_representative_is_within_one_128th_of_the_value(value: float) -> None:
    assert abs(representative(key(value)) - value) <= value / 128


Summary = tuple[float, float, float, float, float]
whole: list[tuple[tuple[float, ...], str, Summary, dict[float, float]]] = [
    ((3.15, 2.28), "1391:1 1412:1", (2, 2.28, 3.15, 5.43, 2.715), {0.5: 2.28, 0.99: 3.149708168614422}),
    (
        (10, 20, 30),
        "1487:1 1531:1 1557:1",
        (3, 10, 30, 60, 20),
        {0.5: 19.93163168041631, 0.95: 29.827084345008355},
    ),
    (
        (1, 2, 3, 4, 5),
        "1338:1 1383:1 1409:1 1427:1 1442:1",
        (5, 1, 5, 15, 3),
        {0.25: 2.009103080990281, 0.75: 3.974395264043952, 0.9: 5},
    ),
    ((-1, -2, 0), "-1383:1 -1338:1 0:1", (3, -2, 0, -3, -1), {0.5: -1}),
    (
        (0.1, 0.1, 0.2, 0.3, 100),
        "1189:2 1234:1 1260:1 1635:1",
        (5, 0.1, 100, 100.7, 20.14),
        {0.25: 0.1003998647276909, 0.99: 99.95733062532699},
    ),
    ((0.1,) * 10, "1189:10", (10, 0.1, 0.1, 0.9999999999999999, 0.1), {}),
]


@pytest.mark.parametrize(("values", "expected", "summary", "quantiles"), whole)
def test_a_sketch_of_some_values(
    values: tuple[float, ...],
    expected: str,
    summary: Summary,
    quantiles: dict[float, float],
) -> None:
    sketch = sketch_of(*values)
    assert sketch.bins() == bins(expected)
    assert (sketch.count, sketch.min, sketch.max) == summary[:3]
    assert sketch.sum == pytest.approx(summary[3], rel=1e-15)
    assert sketch.average == pytest.approx(summary[4], rel=1e-15)
    for q, value in quantiles.items():
        assert sketch.quantile(q) == pytest.approx(value, rel=1e-14)
    one_by_one = Sketch()
    for value in values:
        one_by_one.insert([value])
    assert one_by_one.bins() == sketch.bins()
    assert (one_by_one.sum, one_by_one.average) == (sketch.sum, sketch.average)


def test_summary_numbers_follow_each_insert() -> None:
    sketch = Sketch()
    seen: list[tuple[float, ...]] = []
    for value in (-1, -2, 0):
        sketch.insert([value])
        seen.append((sketch.min, sketch.max, sketch.sum, sketch.average, sketch.count))
    assert seen == [(-1, -1, -1, -1, 1), (-2, -1, -3, -1.5, 2), (-2, 0, -3, -1, 3)]


def test_zero_to_one_hundred() -> None:
    sketch = sketch_of(*range(101))
    got = sketch.bins()
    assert len(got) == 94
    assert got[:4] == bins("0:1 1338:1 1383:1 1409:1")
    assert [k for k, n in got if n == 2] == [1616, 1621, 1625, 1628, 1630, 1632, 1634]
    assert (sketch.count, sketch.min, sketch.max, sketch.sum, sketch.average) == (101, 0, 100, 5050, 50)
    assert sketch.quantile(0.01) == 1.0
    assert sketch.quantile(0.5) == pytest.approx(49.75221608642316, rel=1e-14)
    assert sketch.quantile(0.98) == pytest.approx(98.41952553878349, rel=1e-14)
    assert sketch.quantile(0.99) == pytest.approx(99.18842808205522, rel=1e-14)


def test_a_symmetric_sketch_has_symmetric_quantiles() -> None:
    sketch = sketch_of(*range(-50, 51))
    assert len(sketch.bins()) == 101
    assert {n for _, n in sketch.bins()} == {1}
    assert sketch.quantile(0.5) == 0
    assert sketch.quantile(0.99) == pytest.approx(48.98679737740127, rel=1e-14)
    for percent in range(1, 50):
        up, down = sketch.quantile(0.5 + percent / 100), sketch.quantile(0.5 - percent / 100)
        assert up is not None
        assert down is not None
        assert up == pytest.approx(-down, abs=1e-6)


def test_an_empty_sketch_has_no_quantile_and_zeros() -> None:
    sketch = Sketch()
    sketch.insert([])
    assert sketch.quantile(0.5) is None
    assert (sketch.count, sketch.sum, sketch.min, sketch.max, sketch.average) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("rate", "weight"),
    [(1.0, 1), (0.1, 10), (0.5, 2), (0.3, 3), (0.21, 4), (0.07, 14), (0, 1), (-0.5, 1), (5, 1), (math.inf, 1)],
)
def test_a_sample_rate_makes_a_weight(rate: float, weight: int) -> None:
    assert weights(rate)[0] == weight


def test_a_rate_of_nearly_nothing_cannot_make_a_weight_without_bounds() -> None:
    assert weights(5e-324) == (1_000_000, 1_000_000.0)
    assert weights(math.nan) == (1, 1.0)


def test_a_weighted_value_counts_whole_in_bins_and_exactly_in_the_sum() -> None:
    sketch = sketch_of(10, rate=0.3)
    assert sketch.bins() == [(1487, 3)]
    assert (sketch.count, sketch.sum, sketch.average) == (3, 33.333333333333336, 10)
    sketch = sketch_of(240, rate=0.5)
    assert sketch.bins() == [(1691, 2)]
    assert (sketch.count, sketch.min, sketch.max, sketch.sum, sketch.average) == (2, 240, 240, 480, 240)


@pytest.mark.parametrize(
    ("start", "value", "times", "expected"),
    [
        ("", 0, 1, "0:1"),
        ("0:1", 0, 1, "0:2"),
        ("1338:1", 0, 1, "0:1 1338:1"),
        ("0:1 1338:1", 0.5, 1, "0:1 1293:1 1338:1"),
        ("0:65534", 0, 1, "0:65535"),
        ("0:65535", 0, 1, "0:1 0:65535"),
        ("0:65535 0:65535", 0, 1, "0:1 0:65535 0:65535"),
        ("0:1 0:65535 0:65535", 0, 2, "0:3 0:65535 0:65535"),
        ("0:65532", 0, 5, "0:2 0:65535"),
        ("0:100", 0, 65535, "0:100 0:65535"),
        ("0:1 1338:1", 0.5, 65536, "0:1 1293:1 1293:65535 1338:1"),
        ("1442:65535", 5, 1, "1442:1 1442:65535"),
        ("1442:65535", 5, 65536, "1442:1 1442:65535 1442:65535"),
    ],
)
def test_a_full_bin_makes_another_one(start: str, value: float, times: int, expected: str) -> None:
    at_once, one_by_one = Sketch(), Sketch()
    for sketch in (at_once, one_by_one):
        sketch.add_bins(bins(start))
    at_once.insert([value] * times)
    for _ in range(times):
        one_by_one.insert([value])
    assert at_once.bins() == one_by_one.bins() == bins(expected)


@pytest.mark.parametrize(
    ("start", "more", "expected"),
    [
        ("0:2", "-3:1 -2:1 -1:1", "-3:1 -2:1 -1:1 0:2"),
        ("1:1 3:1", "2:3", "1:1 2:3 3:1"),
        ("1:3", "1:2", "1:5"),
        ("1:65534", "1:65533", "1:65532 1:65535"),
        ("1:1 2:1 3:1", "5:1 6:1 10:1", "1:1 2:1 3:1 5:1 6:1 10:1"),
        ("1:5 1:65535", "1:7 1:65535", "1:12 1:65535 1:65535"),
        ("1:5 1:65535 3:1", "1:65535 2:1", "1:5 1:65535 1:65535 2:1 3:1"),
    ],
)
def test_bins_are_merged(start: str, more: str, expected: str) -> None:
    sketch = Sketch()
    sketch.add_bins(bins(start))
    sketch.add_bins(bins(more))
    assert sketch.bins() == bins(expected)


def test_merging_takes_the_summary_too_and_leaves_the_other_alone() -> None:
    sketch, other = sketch_of(1, 2, 3), sketch_of(100, 200)
    sketch.merge(other)
    assert sketch.bins() == bins("1338:1 1383:1 1409:1 1635:1 1680:1")
    assert (sketch.count, sketch.min, sketch.max, sketch.sum) == (5, 1, 200, 306)
    assert sketch.average == pytest.approx(61.2)
    assert other.bins() == bins("1635:1 1680:1")
    empty = Sketch()
    empty.merge(other)
    assert (empty.min, empty.max, empty.average, empty.bins()) == (100, 200, 150, other.bins())
    sketch.merge(Sketch())
    assert sketch.count == 5


def test_merging_keeps_to_the_bin_limit() -> None:
    sketch = Sketch(limit=3)
    sketch.add_bins((k, 1) for k in range(11))
    sketch.add_bins((k, 1) for k in range(10))
    assert sketch.bins() == bins("8:18 9:2 10:1")


@pytest.mark.parametrize(
    ("limit", "start", "expected"),
    [
        (2, "1:65535 2:65535 3:65535", "2:65535 2:65535 3:65535"),
        (3, "1:65535 1:65535 1:1 2:65535 3:1 4:1", "1:65535 1:65535 2:1 2:65535 3:1 4:1"),
        (3, "1:1 2:1 3:1", "1:1 2:1 3:1"),
        (1, "1:1", "1:1"),
    ],
)
def test_surplus_bins_are_folded_to_the_right(limit: int, start: str, expected: str) -> None:
    before = bins(start)
    got = trim(array("h", [k for k, _ in before]), array("H", [n for _, n in before]), limit)
    assert list(zip(*got, strict=True)) == bins(expected)


def test_one_key_above_the_limit_is_folded_into_the_next() -> None:
    sketch = Sketch()
    sketch.insert([representative(k) for k in range(1, 4098)])
    got = sketch.bins()
    assert len(got) == 4096
    assert got[:2] == bins("2:2 3:1")
    assert sum(n for _, n in got) == sketch.count == 4097


finite = st.floats(allow_nan=False, allow_infinity=False, width=32).map(float)


@settings(max_examples=40)
@given(st.lists(st.lists(finite | st.sampled_from([0.0, 1.0, -1.0, 5e-10, 1e30]), max_size=40), max_size=8))
def test_a_sketch_equals_a_naive_one_however_values_are_batched(batches: list[list[float]]) -> None:
    sketch = Sketch()
    for batch in batches:
        sketch.insert(batch)
    values = [value for batch in batches for value in batch]
    expected = Counter(map(key, values))
    assert sketch.bins() == sorted(expected.items())
    total, average = 0.0, 0.0
    for count, value in enumerate(values, 1):
        total += value
        average += (value - average) / count
    assert (sketch.count, sketch.sum, sketch.average) == (len(values), total, average)
    if values:
        assert (sketch.min, sketch.max) == (min(values), max(values))
        ordered = sorted(values)
        for q in (0.0, 0.25, 0.5, 0.9, 1.0):
            exact = ordered[round(q * (len(ordered) - 1))]
            got = sketch.quantile(q)
            assert got is not None
            # A bin is √γ to either side of its representative, and quantiles are spread over one more γ.
            assert abs(got - exact) <= abs(exact) * (1.015625**1.5 - 1) + 1e-9


@settings(max_examples=40)
@given(st.lists(finite, max_size=30), st.lists(finite, max_size=30))
def test_merging_counts_like_inserting_both(left: list[float], right: list[float]) -> None:
    merged, together = sketch_of(*left), sketch_of(*left, *right)
    merged.merge(sketch_of(*right))
    assert merged.bins() == together.bins()
    assert (merged.count, merged.min, merged.max) == (together.count, together.min, together.max)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(min_value=-1e6, max_value=1e6), st.integers(1, 200_000)), max_size=20))
def test_weighted_values_count_by_their_weights(weighted: list[tuple[float, int]]) -> None:
    sketch = Sketch()
    sketch.insert_weighted(weighted)
    assert sketch.count == sum(weight for _, weight in weighted) == sum(n for _, n in sketch.bins())
    totals: Counter[int] = Counter()
    for k, n in sketch.bins():
        totals[k] += n
    expected: Counter[int] = Counter()
    for value, weight in weighted:
        expected[key(value)] += weight
    assert totals == expected


@settings(max_examples=40)
@given(st.lists(finite.filter(lambda value: abs(value) > 1e-8), min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_is_within_one_128th_of_the_value_where_values_have_bins_of_their_own(
    values: list[float], q: float
) -> None:
    apart = sorted({key(value): value for value in values}.values())
    got = sketch_of(*apart).quantile(q)
    exact = apart[0] if q == 0 else apart[-1] if q == 1 else apart[round(q * (len(apart) - 1))]
    assert got is not None
    assert abs(got - exact) <= abs(exact) / 128 * (1 + 1e-9)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from([1.0, 0.5, 0.3, 0.07])), max_size=30))
def test_sampled_values_count_as_often_as_their_rate_says(sampled: list[tuple[float, float]]) -> None:
    sketch, expected = Sketch(), Counter[int]()
    for value, rate in sampled:
        sketch.insert([value], rate)
        expected[key(value)] += int(1 / rate)
    assert sketch.bins() == sorted(expected.items())
    assert sketch.count == sum(expected.values())
    assert sketch.sum == pytest.approx(sum(value / rate for value, rate in sampled), rel=1e-9, abs=1e-3)


@pytest.mark.parametrize(
    ("lower", "upper", "times", "expected"),
    [
        (0, 10, 2, "0:1 1442:1"),
        (10, 20, 4, "1487:1 1502:1 1514:1 1524:1"),
        (-10, 10, 4, "-1487:1 -1442:1 -1067:1 1442:1"),
        (5, 5, 7, "1442:7"),
    ],
)
def test_a_histograms_bucket_is_spread_over_its_bins(lower: float, upper: float, times: int, expected: str) -> None:
    sketch = Sketch()
    sketch.insert_spread(lower, upper, times)
    assert sketch.bins() == bins(expected)


def test_a_large_bucket_is_spread_by_the_width_of_its_bins() -> None:
    sketch = Sketch()
    sketch.insert_spread(1e3, 1e5, 999_999)
    got = sketch.bins()
    assert got[:2] == bins("1784:158 1785:162")
    assert got[-2:] == bins("2079:15403 2080:8942")
    assert sketch.count == 999_999


@settings(max_examples=30, deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.integers(1, 10_000))
def test_any_bucket_keeps_its_count_and_its_bounds(one: float, other: float, times: int) -> None:
    lower, upper = sorted((one, other))
    sketch = Sketch()
    sketch.insert_spread(lower, upper, times)
    assert sketch.count == times == sum(n for _, n in sketch.bins())
    keys = [k for k, _ in sketch.bins()]
    assert max(min(key(lower), 32766), -32766) <= keys[0]
    assert keys[-1] <= max(min(key(upper), 32766), -32766)
    assert math.isfinite(sketch.sum)


def test_the_limit_holds_under_any_number_of_different_values() -> None:
    sketch = Sketch()
    for first in range(1, 6000, 250):
        sketch.insert([representative(k) for k in range(first, first + 250)])
    assert len(sketch.bins()) == 4096
    assert sum(n for _, n in sketch.bins()) == sketch.count == 6000
    assert sketch.bins()[-1] == (6000, 1)
