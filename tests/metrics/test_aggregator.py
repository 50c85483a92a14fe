"""The aggregator against a naive model, step by step; its limits; and accounts that close after each step."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ddx_core.stats import Account
from ddx_metrics.accumulate import Count, Distribution, Gauge, Histogram, Members
from ddx_metrics.aggregator import Aggregator, Gathered
from ddx_metrics.context import Context
from ddx_metrics.sample import MetricType

noon_s = 1_700_000_000


def hits(name: str = "hits", type: MetricType = MetricType.COUNT) -> Context:
    return Context(name, type)


def an_aggregator(**limits: Any) -> tuple[Aggregator, Account]:
    account = Account("metrics")
    aggregator = Aggregator(account, **limits)
    aggregator.advance(noon_s)
    return aggregator, account


def add(aggregator: Aggregator, account: Account, context: Context, *values: Any, time_s: int | None = None) -> None:
    account.accept(len(values), 0)
    aggregator.add(context, values, 1.0, time_s)
    assert account.snapshot().closes


def take_all(aggregator: Aggregator) -> list[Gathered]:
    taken: list[Gathered] = []
    while (gathered := aggregator.take()) is not None:
        taken.append(gathered)
    return taken


def deliver_all(aggregator: Aggregator, account: Account) -> list[Gathered]:
    taken = take_all(aggregator)
    account.deliver(sum(each.values.samples for each in taken), 0)
    return taken


def test_only_closed_buckets_are_cut_unless_asked_for_all() -> None:
    aggregator, account = an_aggregator()
    add(aggregator, account, hits(), 1.0)
    aggregator.cut(include_open=False)
    assert aggregator.take() is None
    aggregator.advance(noon_s + 10)
    add(aggregator, account, hits(), 2.0)
    aggregator.cut(include_open=False)
    assert [(each.start_s, each.values.samples) for each in take_all(aggregator)] == [(noon_s, 1)]
    aggregator.cut(include_open=True)
    assert [(each.start_s, each.values.samples) for each in take_all(aggregator)] == [(noon_s + 10, 1)]
    assert aggregator.statistics().contexts == aggregator.statistics().bytes == aggregator.statistics().samples == 0


def test_parts_of_a_bucket_are_points_of_different_seconds() -> None:
    aggregator, account = an_aggregator()
    for part in range(9):
        add(aggregator, account, hits(), 1.0)
        add(aggregator, account, hits("took", MetricType.DISTRIBUTION), 1.0)
        aggregator.cut_folded(include_open=True)
        assert {each.context.name: each.time_s for each in deliver_all(aggregator, account)} == {
            "hits": noon_s + part,
            "took": noon_s + part,
        }
    # The last second is for what comes until the bucket ends; sketches of one second add up at the intake.
    for _ in range(2):
        add(aggregator, account, hits(), 1.0)
        add(aggregator, account, hits("took", MetricType.DISTRIBUTION), 1.0)
        aggregator.cut_folded(include_open=True)
        assert [each.context.name for each in deliver_all(aggregator, account)] == ["took"]
        assert account.snapshot().closes
    aggregator.advance(noon_s + 10)
    aggregator.cut_folded(include_open=True)
    (rest,) = deliver_all(aggregator, account)
    assert (rest.start_s, rest.time_s, rest.values.samples) == (noon_s, noon_s + 9, 2)
    assert aggregator.statistics().contexts == aggregator.statistics().bytes == aggregator.statistics().samples == 0


def test_the_end_leaves_nothing_behind_however_often_a_bucket_was_cut() -> None:
    aggregator, account = an_aggregator()
    for part in range(12):
        add(aggregator, account, hits(), 1.0)
        aggregator.cut(include_open=True)
        assert [each.time_s for each in deliver_all(aggregator, account)] == [noon_s + part]
    assert aggregator.told_until_s == noon_s + 11
    # Who comes next goes on behind that, and so does the next bucket.
    following = Aggregator(account, told_until_s=aggregator.told_until_s)
    for each in (aggregator, following):
        each.advance(noon_s + 10)
        add(each, account, hits(), 1.0)
        each.cut(include_open=True)
        assert [part.time_s for part in deliver_all(each, account)] == [noon_s + 12]


def test_late_parts_at_the_end_may_be_told_by_seconds_of_the_open_bucket() -> None:
    aggregator, account = an_aggregator()
    times: list[int] = []
    for _ in range(25):
        add(aggregator, account, hits(), 1.0, time_s=noon_s - 5)
        aggregator.cut(include_open=True)
        times += [each.time_s for each in deliver_all(aggregator, account)]
    assert times == [*range(noon_s - 10, noon_s + 15)]


def test_what_a_process_tells_of_buckets_before_its_own_spares_their_start() -> None:
    account = Account("metrics")
    for mark in range(noon_s, noon_s + 20):
        aggregator = Aggregator(account, told_until_s=mark)
        aggregator.advance(noon_s + 30)
        add(aggregator, account, hits(), 1.0, time_s=noon_s - 25)
        add(aggregator, account, hits(), 1.0, time_s=noon_s + 20)
        aggregator.cut(include_open=False)
        first, second = sorted(each.time_s for each in deliver_all(aggregator, account))
        assert noon_s - 30 < first <= noon_s - 21
        assert second == noon_s + 20


def test_two_last_flushes_of_a_crowded_bucket_leave_its_seconds_to_no_successor() -> None:
    aggregator, account = an_aggregator()
    points: dict[int, float] = {}

    def cut(*, is_last: bool = False) -> None:
        (aggregator.cut if is_last else aggregator.cut_folded)(include_open=True)
        for each in deliver_all(aggregator, account):
            assert isinstance(each.values, Count)
            points[each.time_s] = each.values.total

    for number in range(11):
        add(aggregator, account, hits(), 1.0)
        cut(is_last=number >= 9)
    assert len(points) == 11
    assert aggregator.told_until_s == noon_s + 10
    aggregator = Aggregator(account, told_until_s=aggregator.told_until_s)
    for seconds in (5, 12):
        aggregator.advance(noon_s + seconds)
        add(aggregator, account, hits(), 1.0)
        cut()
    aggregator.advance(noon_s + 20)
    cut()
    assert sum(points.values()) == 13


steps_of_time = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.sampled_from([0, 0, 0, 3, 12, 95])),
        st.tuples(st.sampled_from(["flush", "background", "restart", "distribution"]), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 12)),
    ),
    max_size=60,
)


@given(steps_of_time)
def test_an_intake_that_keeps_the_last_point_of_a_second_has_the_whole_sum(steps: list[tuple[str, int]]) -> None:
    """Flushes at any time, values of times gone by, and processes that take one another's place."""
    aggregator, account = an_aggregator()
    points: dict[int, float] = {}
    is_first = True
    now_s, total, count = noon_s, 0, hits()

    def flush(*, include_open: bool) -> None:
        aggregator.advance(now_s)
        aggregator.cut_folded(include_open=include_open)
        for gathered in deliver_all(aggregator, account):
            if isinstance(gathered.values, Count):
                points[gathered.time_s] = gathered.values.total

    for step, seconds in [*steps, ("wait", 200), ("background", 0)]:
        match step:
            case "count":
                total += 1
                aggregator.advance(now_s)
                # What an earlier process told of closed buckets is not known.
                add(aggregator, account, count, 1.0, time_s=now_s - seconds if seconds and is_first else None)
            case "distribution":
                for ago in range(0, 900, 10):
                    add(aggregator, account, hits("took", MetricType.DISTRIBUTION), 1.0, time_s=now_s - ago)
            case "wait":
                now_s += seconds
            case "restart":
                if aggregator.statistics().samples == 0:
                    is_first = False
                    aggregator = Aggregator(account, told_until_s=aggregator.told_until_s)
                    aggregator.advance(now_s)
            case _:
                flush(include_open=step == "flush")
    assert sum(points.values()) == total
    assert all(noon_s - 110 <= time_s <= now_s + 9 for time_s in points)


@pytest.mark.parametrize("buckets", [500, 1_440, 12_000])
def test_a_backfill_that_is_told_in_two_flushes_overwrites_nothing(buckets: int) -> None:
    aggregator, account = an_aggregator(max_contexts=buckets)
    told: dict[int, float] = {}
    for _ in range(2):
        for bucket in range(1, buckets + 1):
            add(aggregator, account, hits(), 1.0, time_s=noon_s - 10 * bucket)
        aggregator.cut_folded(include_open=True)
        for each in deliver_all(aggregator, account):
            assert isinstance(each.values, Count)
            told[each.time_s] = each.values.total
    assert sum(told.values()) == 2 * buckets


def test_more_late_parts_than_a_bucket_has_seconds_take_those_of_the_next_or_wait() -> None:
    aggregator, account = an_aggregator()
    times: list[int] = []
    for _ in range(14):
        add(aggregator, account, hits(), 1.0, time_s=noon_s - 15)
        aggregator.cut_folded(include_open=False)
        times += [each.time_s for each in deliver_all(aggregator, account)]
    assert times == [noon_s - 20 + number for number in range(14)]
    for _ in range(10):
        add(aggregator, account, hits(), 1.0, time_s=noon_s - 15)
        aggregator.cut_folded(include_open=False)
        times += [each.time_s for each in deliver_all(aggregator, account)]
    # Up to the open bucket; what came since then waits for seconds to go by.
    assert times == [*range(noon_s - 20, noon_s)]


@given(st.lists(st.sampled_from(["add", "add", "cut", "take"]), max_size=30))
def test_sets_and_histograms_of_a_bucket_are_told_whole_by_each_part(steps: list[str]) -> None:
    """However parts that wait to be taken and values that arrive meanwhile interleave."""
    aggregator, account = an_aggregator()
    users, took = hits("users", MetricType.SET), hits("took", MetricType.HISTOGRAM)
    number, last_cut, cuts = 0, 0, 0
    expected: list[int] = []
    parts: list[Gathered] = []

    def take_one() -> None:
        gathered = aggregator.take()
        if gathered is not None:
            account.deliver(gathered.values.samples, 0)
            parts.append(gathered)

    for step in steps:
        match step:
            case "add":
                number += 1
                add(aggregator, account, users, "anna", f"guest {number}")
                add(aggregator, account, took, 0.0, float(number))
            case "cut" if cuts < 9:
                aggregator.cut_folded(include_open=True)
                if number > last_cut:
                    cuts += 1
                    expected.append(number)
                    last_cut = number
            case _:
                take_one()
    for _ in range(2 * len(expected)):
        take_one()
    sets = [each.values for each in parts if isinstance(each.values, Members)]
    assert [len(each.different) for each in sets] == [1 + each for each in expected]
    histograms = [each.values for each in parts if isinstance(each.values, Histogram)]
    assert [(each.min, each.max, each.count) for each in histograms] == [(0, each, 2 * each) for each in expected]
    assert [each.count - each.inherited for each in histograms] == [each.samples for each in histograms]
    assert [each.ranked([each.count - 1]) for each in histograms] == [[each] for each in expected]
    aggregator.advance(noon_s + 10)
    deliver_all(aggregator, account)
    add(aggregator, account, users, "ben")
    aggregator.cut(include_open=True)
    new = deliver_all(aggregator, account)[-1]
    assert isinstance(new.values, Members)
    assert new.values.different == {"ben"}


def test_what_was_told_of_the_open_bucket_takes_room_until_it_ends() -> None:
    aggregator, account = an_aggregator(max_bytes=20_000)
    add(aggregator, account, hits("users", MetricType.SET), *(f"user {number}" for number in range(300)))
    aggregator.cut_folded(include_open=True)
    deliver_all(aggregator, account)
    add(aggregator, account, hits("requests"), 1.0)
    assert account.snapshot().dropped["memory_limit"].items == 1
    aggregator.advance(noon_s + 10)
    add(aggregator, account, hits("requests"), 1.0)
    assert account.snapshot().dropped["memory_limit"].items == 1


def test_a_context_counts_once_for_each_bucket() -> None:
    aggregator, account = an_aggregator(max_contexts=2)
    add(aggregator, account, hits(), 1.0)
    add(aggregator, account, hits(), 1.0, time_s=noon_s - 30)
    add(aggregator, account, hits(), 1.0, time_s=noon_s - 60)
    add(aggregator, account, hits(), 1.0)
    assert account.dropped("context_limit").items == 1
    assert aggregator.statistics().contexts == 2


def test_kinds_that_grow_are_refused_more_when_memory_is_used_up_and_others_are_not() -> None:
    aggregator, account = an_aggregator(max_bytes=20_000)
    add(aggregator, account, hits(), 1.0)
    users = hits("users", MetricType.SET)
    for number in range(300):
        add(aggregator, account, users, str(number))
    dropped = account.dropped("memory_limit").items
    assert 100 < dropped < 250
    add(aggregator, account, hits(), 1.0)
    add(aggregator, account, hits("new"), 1.0)
    assert account.dropped("memory_limit").items == dropped + 1
    assert aggregator.statistics().bytes < 21_000
    aggregator.cut(include_open=True)
    members = next(each.values for each in take_all(aggregator) if each.context is users)
    assert isinstance(members, Members)
    assert members.samples == 300 - dropped


def test_a_limit_is_told_of_once_and_not_for_each_sample(caplog: pytest.LogCaptureFixture) -> None:
    aggregator, account = an_aggregator(max_contexts=1)
    for number in range(50):
        add(aggregator, account, hits(f"m{number}"), 1.0)
    assert [record.message.split()[0] for record in caplog.records] == ["metrics_context_limit_reached"]


def test_it_wants_a_cut_when_closed_buckets_take_half_the_room() -> None:
    aggregator, account = an_aggregator(max_contexts=10)
    for number in range(10):
        add(aggregator, account, hits(f"m{number}"), 1.0)
    assert not aggregator.wants_cut
    aggregator.advance(noon_s + 10)
    assert aggregator.wants_cut
    aggregator.cut(include_open=False)
    take_all(aggregator)
    assert not aggregator.wants_cut


def test_it_wants_a_cut_before_new_contexts_meet_the_limit_for_the_sake_of_old_ones() -> None:
    aggregator, account = an_aggregator(max_contexts=100)
    for number in range(45):
        add(aggregator, account, hits(f"m{number}"), 1.0)
    aggregator.advance(noon_s + 10)
    for number in range(70):
        add(aggregator, account, hits(f"n{number}"), 1.0)
        if aggregator.wants_cut:
            aggregator.cut(include_open=False)
            deliver_all(aggregator, account)
    assert aggregator.statistics().contexts == 70
    assert not account.snapshot().dropped


def test_a_bound_for_one_name_is_for_each_bucket() -> None:
    aggregator, account = an_aggregator(max_tag_sets=3)
    for bucket in range(4):
        aggregator.advance(noon_s + 10 * bucket)
        for number in range(4):
            add(aggregator, account, Context("hits", MetricType.COUNT, (f"id:{number}",)), 1.0)
        assert account.dropped("tag_cardinality_limit").items == bucket + 1
    aggregator.cut(include_open=True)
    assert len(deliver_all(aggregator, account)) == 12


def test_feeds_may_be_let_go_of_at_any_time() -> None:
    aggregator, account = an_aggregator()
    feed = aggregator.feed(hits())
    assert aggregator.feed(hits()) is feed
    feed.values.append(1.0)
    account.accept(1, 0)
    aggregator.fed(1)
    aggregator.forget_feeds()
    assert aggregator.feed(hits()) is not feed
    assert aggregator.statistics().samples == 1
    assert account.snapshot().closes


contexts = st.builds(
    Context,
    st.sampled_from(["a", "b"]),
    st.sampled_from([kind for kind in MetricType if kind is not MetricType.SET]),
    st.sampled_from([(), ("x:1",)]),
)
rates = st.sampled_from([1.0, 0.5])
numbers = st.integers(-5, 5).map(float)


class NaiveComparison(RuleBasedStateMachine):
    """Samples arrive through feeds and directly, time moves, cuts happen: what comes out is what went in."""

    @initialize(max_contexts=st.sampled_from([3, 1000]))
    def begin(self, max_contexts: int) -> None:
        self.account = Account("metrics")
        self.aggregator = Aggregator(self.account, max_contexts=max_contexts)
        self.is_unlimited = max_contexts == 1000
        self.now_s = noon_s
        self.aggregator.advance(self.now_s)
        self.taken = 0
        self.expected: dict[tuple[int, Context], list[tuple[float, float]]] = defaultdict(list)
        self.told: dict[Context, list[tuple[float, float]]] = defaultdict(list)
        """What earlier flushes took of the open bucket."""
        self.carried: dict[tuple[int, Context], list[tuple[float, float]]] = {}
        """For parts that began while their bucket was open: the same, which they tell anew."""
        self.times: dict[tuple[int, Context], int] = {}
        """The second of each bucket's latest part."""
        self.points: set[tuple[int, Context]] = set()
        """The seconds of which points were told."""

    @rule(context=contexts, rate=rates, values=st.lists(numbers, min_size=1, max_size=4))
    def feed(self, context: Context, rate: float, values: list[float]) -> None:
        rate = 1.0 if context.type is MetricType.GAUGE else rate
        self.aggregator.feed(context, rate).values.extend(values)
        self.account.accept(len(values), 0)
        self.aggregator.fed(len(values))
        self.expect(self.now_s, context, values, rate)

    @rule(context=contexts, rate=rates, values=st.lists(numbers, min_size=1, max_size=4), ago=st.integers(-15, 40))
    def add(self, context: Context, rate: float, values: list[float], ago: int) -> None:
        rate = 1.0 if context.type is MetricType.GAUGE else rate
        self.account.accept(len(values), 0)
        self.aggregator.add(context, values, rate, self.now_s - ago)
        self.expect(min(self.now_s - ago, self.now_s), context, values, rate)

    @rule(seconds=st.integers(-5, 15))
    def move(self, seconds: int) -> None:
        self.now_s += seconds
        if self.aggregator.advance(self.now_s):
            self.told.clear()

    @rule()
    def forget(self) -> None:
        self.aggregator.forget_feeds()

    @rule(include_open=st.booleans())
    def flush(self, include_open: bool) -> None:
        self.aggregator.cut(include_open=include_open)
        seen: set[tuple[int, Context]] = set()
        for gathered in take_all(self.aggregator):
            self.taken += gathered.values.samples
            key = (gathered.start_s, gathered.context)
            assert key not in seen
            seen.add(key)
            self.see_time(gathered)
            if self.is_unlimited:
                self.compare(gathered, self.expected.pop(key))
        if self.is_unlimited:
            open_s = self.now_s // 10 * 10
            assert {start for start, _ in self.expected} <= (set() if include_open else {open_s})

    def expect(self, at_s: int, context: Context, values: list[float], rate: float) -> None:
        start_s = at_s // 10 * 10
        key = (start_s, context)
        if key not in self.expected and start_s == self.now_s // 10 * 10:
            self.carried[key] = list(self.told[context])
        self.expected[key] += [(value, rate) for value in values]

    def see_time(self, gathered: Gathered) -> None:
        """A point of a second that was told before would take its place; sketches of one second are added up."""
        start_s, time_s = gathered.start_s, gathered.time_s
        assert start_s <= time_s
        if isinstance(gathered.values, Distribution):
            return
        point = (time_s, gathered.context)
        assert point not in self.points
        self.points.add(point)
        bucket = (start_s, gathered.context)
        assert self.times.get(bucket, start_s - 1) < time_s
        self.times[bucket] = time_s

    def compare(self, gathered: Gathered, expected: list[tuple[float, float]]) -> None:
        assert gathered.values.samples == len(expected)
        match gathered.values:
            case Count():
                assert gathered.values.total == sum(value / rate for value, rate in expected)
            case Gauge():
                assert gathered.values.last == expected[-1][0]
            case Histogram():
                before = self.carried.pop((gathered.start_s, gathered.context), [])
                assert gathered.values.inherited == sum(int(1 / rate) for _, rate in before)
                whole = before + expected
                assert gathered.values.sum == sum(value / rate for value, rate in whole)
                assert gathered.values.count == sum(int(1 / rate) for _, rate in whole)
                if gathered.start_s == self.now_s // 10 * 10:
                    self.told[gathered.context] = whole
            case Distribution():
                assert gathered.values.sketch.sum == sum(value / rate for value, rate in expected)
                assert gathered.values.sketch.count == sum(int(1 / rate) for _, rate in expected)
            case Members():
                raise AssertionError

    @invariant()
    def accounts_close(self) -> None:
        if not hasattr(self, "account"):
            return
        snapshot = self.account.snapshot()
        dropped = sum(amount.items for amount in snapshot.dropped.values())
        assert snapshot.accepted.items == snapshot.held.items + self.taken + dropped
        assert not (self.is_unlimited and dropped)


TestNaiveComparison = NaiveComparison.TestCase
TestNaiveComparison.settings = settings(max_examples=40, stateful_step_count=25)
