"""What users write, what it means for an invocation, and where we differ on purpose from the vendor's extension."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.flush import (
    BadStrategy,
    Cadence,
    Decision,
    FlushPlan,
    Strategy,
    StrategyKind,
    default_strategy,
    for_managed_instances,
    parse_strategy,
    plan,
)

END = Strategy(StrategyKind.END)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("end", END),
        ("periodically,60000", Strategy(StrategyKind.PERIODICALLY, 60_000)),
        ("end,1000", Strategy(StrategyKind.END, 1000)),
        ("continuously,2000", Strategy(StrategyKind.CONTINUOUSLY, 2000)),
        ("periodically,+5000", Strategy(StrategyKind.PERIODICALLY, 5000)),
        ("periodically,1000,x", Strategy(StrategyKind.PERIODICALLY, 1000)),
        # More forgiving than the vendor's extension, which takes these for the default without a word:
        ("End", END),
        (" end ", END),
        ("end, 1000", Strategy(StrategyKind.END, 1000)),
        ("PERIODICALLY,10", Strategy(StrategyKind.PERIODICALLY, 10)),
        ("", default_strategy),
        ("default", default_strategy),
    ],
)
def test_strategies_are_read(text: str, expected: Strategy) -> None:
    assert parse_strategy(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("invalid", "garbage", "periodically,invalid", "end,invalid", "periodically", "continuously", "5", "true"),
        *("end,", "end,-1", "end,1.5", "default,5", ",", ",5", "end,²", f"end,{'9' * 5000}", "end,86400001"),
        # An interval of zero makes the vendor's extension abort:
        *("periodically,0", "end,0", "continuously,0"),
    ],
)
def test_what_is_no_strategy_says_what_is(text: str) -> None:
    with pytest.raises(BadStrategy, match=r"expected|needs an interval|milliseconds|takes no interval"):
        parse_strategy(text)


@given(st.text(max_size=30) | st.builds("{},{}".format, st.sampled_from([*StrategyKind]), st.text(max_size=8)))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        strategy = parse_strategy(text)
    except BadStrategy:
        return
    assert strategy.interval_ms is None or strategy.interval_ms > 0


def cadence_of(*times_s: float) -> Cadence:
    cadence = Cadence()
    for time_s in times_s:
        cadence.record(int(time_s * 1000))
    return cadence


def decide(strategy: Strategy, cadence: Cadence, *, now_s: float, last_flush_s: float) -> FlushPlan:
    return plan(strategy, cadence, now_ms=int(now_s * 1000), last_flush_ms=int(last_flush_s * 1000))


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        ([1.0], Decision.AT_END),
        ([float(second) for second in range(19)], Decision.AT_END),
        ([float(second) for second in range(21)], Decision.NOW_IN_BACKGROUND),
        ([1.0, *(float(second) for second in range(5000, 5020)), 10_000.0], Decision.AT_END),
        ([number * 100.0 + 1 for number in range(26)], Decision.NOW_AND_WAIT),
        ([number * 130.0 + 1 for number in range(26)], Decision.AT_END),
        # Twenty invocations within 30 s are busy; the vendor compares with the flush timeout, a setting of something else.
        ([number * 1.5 for number in range(20)], Decision.NOW_IN_BACKGROUND),
        ([number * 1.6 for number in range(20)], Decision.NOW_AND_WAIT),
    ],
)
def test_the_default_adapts_to_how_often_the_function_is_asked(times_s: list[float], expected: Decision) -> None:
    now_s = times_s[-1]
    assert decide(default_strategy, cadence_of(*times_s), now_s=now_s, last_flush_s=now_s - 61).decision is expected


def test_the_default_ends_for_nineteen_invocations_and_then_goes_to_the_background() -> None:
    cadence = Cadence()
    decisions: list[Decision] = []
    for number in range(20):
        cadence.record(number * 1000)
        decisions.append(plan(default_strategy, cadence, now_ms=number * 1000, last_flush_ms=-61_000).decision)
    assert decisions == [Decision.AT_END] * 19 + [Decision.NOW_IN_BACKGROUND]


@pytest.mark.parametrize(
    ("text", "due", "not_due"),
    [
        ("end", Decision.AT_END, Decision.AT_END),
        # Here `end,N` flushes at every end; the vendor's flushes neither during nor after an invocation that begins
        # within N of the last flush.
        ("end,1000", Decision.AT_END, Decision.AT_END),
        ("periodically,1000", Decision.NOW_AND_WAIT, Decision.NOT_NOW),
        ("continuously,1000", Decision.NOW_IN_BACKGROUND, Decision.NOT_NOW),
    ],
)
def test_a_given_strategy_decides_by_the_time_since_the_last_flush(text: str, due: Decision, not_due: Decision) -> None:
    strategy, cadence = parse_strategy(text), cadence_of(10)
    # Milliseconds, and due when just reached: the vendor counts whole seconds, so that 1000 means two of them.
    assert decide(strategy, cadence, now_s=10, last_flush_s=9.0).decision is due
    assert decide(strategy, cadence, now_s=10, last_flush_s=9.001).decision is not_due


@pytest.mark.parametrize(
    ("text", "tick_ms"),
    [("default", 60_000), ("end", 60_000), ("end,5", 5), ("periodically,1", 1), ("continuously,7", 7)],
)
def test_a_long_invocation_is_flushed_every_so_often(text: str, tick_ms: int) -> None:
    assert decide(parse_strategy(text), Cadence(), now_s=1, last_flush_s=0).tick_ms == tick_ms


def test_a_clock_that_stands_still_or_goes_back_is_survived() -> None:
    cadence = cadence_of(*[5.0] * 20)
    assert cadence.span_ms() == 0
    assert decide(default_strategy, cadence, now_s=5, last_flush_s=9).decision is Decision.NOT_NOW
    assert cadence_of(*range(100, 80, -1)).span_ms() == 0


@pytest.mark.parametrize(
    ("text", "expected_ms"), [("default", 30_000), ("end,5", 30_000), ("periodically,5", 30_000), ("continuously,5", 5)]
)
def test_managed_instances_flush_continuously(text: str, expected_ms: int) -> None:
    strategy = for_managed_instances(parse_strategy(text))
    assert strategy == Strategy(StrategyKind.CONTINUOUSLY, expected_ms)


@given(
    st.sampled_from([default_strategy, END, Strategy(StrategyKind.PERIODICALLY, 7), Strategy(StrategyKind.END, 9)]),
    st.lists(st.integers(-(10**12), 10**12), max_size=30),
    st.integers(-(10**12), 10**12),
    st.integers(-(10**12), 10**12),
)
def test_there_is_a_plan_for_any_times(strategy: Strategy, times: list[int], now_ms: int, last_ms: int) -> None:
    cadence = Cadence()
    for time_ms in times:
        cadence.record(time_ms)
    planned = plan(strategy, cadence, now_ms=now_ms, last_flush_ms=last_ms)
    assert planned.tick_ms > 0
    assert cadence.mean_gap_ms() >= 0
