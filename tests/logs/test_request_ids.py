"""Which invocation a line belongs to. Times here are small numbers: nanoseconds on one clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.events import InitStart, Report, ReportMetrics, RuntimeDone, RuntimeDoneMetrics, Start
from ddx_logs.request_ids import RequestIds, looks_back


def start(request_id: str, at: int) -> Start:
    return Start(request_id=request_id, time_ns=at)


def end(request_id: str, at: int, duration_ms: float | None = None) -> RuntimeDone:
    metrics = None if duration_ms is None else RuntimeDoneMetrics(duration_ms=duration_ms)
    return RuntimeDone(request_id=request_id, time_ns=at, metrics=metrics)


def report(request_id: str, at: int) -> Report:
    return Report(request_id=request_id, time_ns=at, metrics=ReportMetrics(duration_ms=1.0))


@pytest.fixture
def ids() -> RequestIds:
    return RequestIds()


def test_line_before_the_first_start_has_no_invocation(ids: RequestIds) -> None:
    ids.init_started(InitStart(time_ns=1))
    assert ids.find(2) is None
    assert ids.find_settled(2) is None


def test_line_from_before_the_first_start_belongs_to_the_invocation_it_begins(ids: RequestIds) -> None:
    ids.init_started(InitStart(time_ns=1))
    ids.started(start("a", 10))
    assert ids.find(2) == "a"


def test_running_invocation_gets_the_lines(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    assert ids.find(10) == ids.find(99) == "a"


def test_line_written_before_the_end_but_late_keeps_its_invocation(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    assert ids.find(15) == ids.find(20) == "a"


def test_line_written_after_the_end_is_open_until_settled(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    assert ids.find(25) is None
    assert ids.find_settled(25) == "a"


def test_next_start_settles_by_time_to_whom_a_line_after_the_end_belongs(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    ids.started(start("b", 30))
    assert ids.find(25) == "a"
    assert ids.find(30) == "b"


def test_late_line_goes_to_the_invocation_of_its_time(ids: RequestIds) -> None:
    for number in range(looks_back):
        ids.started(start(str(number), number * 10))
        ids.ended(end(str(number), number * 10 + 8))
    assert [ids.find(number * 10 + 5) for number in range(looks_back)] == [str(number) for number in range(looks_back)]


def test_line_with_a_time_before_everything_known_goes_to_the_running_invocation(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    ids.started(start("b", 30))
    assert ids.find(1) == "b"


def test_all_events_at_one_time_are_matched_in_order_of_arrival(ids: RequestIds) -> None:
    ids.started(start("a", 5))
    assert ids.find(5) == "a"
    ids.ended(end("a", 5))
    ids.started(start("b", 5))
    assert ids.find(5) == "b"


def test_start_that_comes_late_does_not_take_over(ids: RequestIds) -> None:
    ids.started(start("b", 30))
    ids.started(start("a", 10))
    assert ids.find(40) == "b"
    assert ids.find(15) == "a"


def test_start_after_an_end_takes_over_even_when_the_clock_was_turned_back(ids: RequestIds) -> None:
    ids.started(start("a", 100))
    ids.ended(end("a", 110))
    ids.started(start("b", 50))
    assert ids.find(55) == "b"


@pytest.mark.parametrize("closing", [end("a", 20), report("a", 20)])
def test_invocation_whose_start_was_lost_is_known_from_its_end(ids: RequestIds, closing: RuntimeDone | Report) -> None:
    if isinstance(closing, RuntimeDone):
        ids.ended(closing)
    else:
        ids.reported(closing)
    assert ids.find(15) == "a"
    assert ids.find_settled(25) == "a"


def test_start_after_its_own_end_changes_nothing_for_the_lines(ids: RequestIds) -> None:
    ids.ended(end("a", 20))
    assert ids.started(start("a", 10))
    assert ids.find(15) == "a"
    assert ids.find(25) is None


def test_report_during_the_next_invocation_does_not_take_over(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    ids.started(start("b", 30))
    ids.reported(report("a", 31))
    assert ids.find(35) == "b"


def test_new_init_leaves_its_lines_to_the_next_invocation(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    ids.init_started(InitStart(time_ns=30))
    assert ids.find_settled(35) is None
    ids.started(start("b", 40))
    assert ids.find(35) == "b"


def test_line_from_before_a_new_init_that_comes_late_keeps_its_invocation(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    ids.init_started(InitStart(time_ns=30))
    assert [ids.find(at) for at in (15, 25, 29, 30, 35)] == ["a", "a", "a", None, None]
    ids.started(start("b", 40))
    assert [ids.find(at) for at in (15, 25, 29, 30, 45)] == ["a", "a", "a", "b", "b"]


def test_first_of_several_inits_parts_two_invocations(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20))
    ids.init_started(InitStart(time_ns=30))
    ids.init_started(InitStart(time_ns=50, phase="invoke"))
    ids.started(start("b", 60))
    assert [ids.find(at) for at in (29, 30, 55)] == ["a", "b", "b"]


def owner_on_paper(told: list[tuple[str, int]], time: int) -> tuple[str | None, bool]:
    """What is told, in order, drawn on a line of time: the invocation at `time`, and whether that can still change."""
    owner: str | None = None
    drawn: dict[int, str | None] = {}
    is_running = False
    since = 0
    number = 0
    for kind, at in told:
        drawn.update(dict.fromkeys(range(since, at), owner))
        since = at
        if kind == "start":
            number += 1
            owner, is_running = str(number), True
            # From the init before it, if there was one, on; or from the very first.
            drawn.update({moment: owner for moment, before in drawn.items() if before is None})
        elif kind == "end":
            is_running = False
            since = at + 1
            drawn[at] = owner
        elif not is_running:
            owner = None
    drawn.update(dict.fromkeys(range(since, time + 1), owner))
    return drawn[time], not is_running and time >= since


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, int]]:
    """A sandbox: STARTs and ENDs in turn, inits anywhere between, at times that rise."""
    at = 0
    life: list[tuple[str, int]] = []
    for _ in range(draw(st.integers(1, looks_back))):
        for kind in ("init",) * draw(st.integers(0, 2)) + ("start",) + ("init",) * draw(st.integers(0, 1)) + ("end",):
            at += draw(st.integers(1, 3))
            life.append((kind, at))
    return life


@settings(max_examples=60)
@given(lives(), st.data())
def test_late_line_goes_where_its_time_was_whatever_was_told_since(
    life: list[tuple[str, int]], data: st.DataObject
) -> None:
    ids = RequestIds()
    first_start = next(at for kind, at in life if kind == "start")
    number = 0
    for told, (kind, at) in enumerate(life, 1):
        if kind == "init":
            ids.init_started(InitStart(time_ns=at))
        elif kind == "start":
            number += 1
            ids.started(start(str(number), at))
        else:
            ids.ended(end(str(number), at))
        # Lines from before the first START arrive before the second.
        earliest = 0 if number < 2 else first_start
        time = data.draw(st.integers(earliest, at + 1))
        settled, is_open = owner_on_paper(life[:told], time)
        assert ids.find_settled(time) == settled
        assert ids.find(time) == (None if is_open else settled)


def test_init_within_a_running_invocation_leaves_its_lines_there(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.init_started(InitStart(time_ns=15, phase="invoke"))
    assert ids.find(16) == "a"


def test_repeated_events_are_told_apart_from_new_ones(ids: RequestIds) -> None:
    told = [
        ids.init_started(InitStart(time_ns=1)),
        ids.started(start("a", 10)),
        ids.ended(end("a", 20)),
        ids.reported(report("a", 21)),
    ]
    again = [
        ids.init_started(InitStart(time_ns=1)),
        ids.started(start("a", 10)),
        ids.ended(end("a", 20)),
        ids.reported(report("a", 21)),
    ]
    assert told == [True] * 4
    assert again == [False] * 4


def test_retried_invocation_with_the_same_request_id_is_a_new_run(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20, 7.0))
    ids.reported(report("a", 21))
    assert ids.started(start("a", 60))
    assert ids.find(65) == "a"
    assert ids.runtime_ms("a") == 0.0
    assert ids.ended(end("a", 70, 8.0))
    assert ids.reported(report("a", 71))
    assert ids.runtime_ms("a") == 8.0


def test_runtime_durations_are_kept_by_request_id(ids: RequestIds) -> None:
    ids.started(start("a", 10))
    ids.ended(end("a", 20, 7.5))
    ids.started(start("b", 30))
    ids.ended(end("b", 40))
    assert (ids.runtime_ms("a"), ids.runtime_ms("b"), ids.runtime_ms("c")) == (7.5, 0.0, 0.0)


def test_empty_request_id_is_none(ids: RequestIds) -> None:
    ids.started(start("", 10))
    assert ids.find(11) is None


def test_only_so_many_invocations_are_kept() -> None:
    ids = RequestIds(capacity=2)
    for number, name in enumerate("abc"):
        ids.started(start(name, number * 10))
        ids.ended(end(name, number * 10 + 5, 1.0))
    assert [ids.runtime_ms(name) for name in "abc"] == [0.0, 1.0, 1.0]
