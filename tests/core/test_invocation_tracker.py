"""What is known of each invocation, in whatever order it becomes known."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ddx_core.events import (
    InitMetrics,
    InitReport,
    InitStart,
    Invoke,
    LogLine,
    Report,
    ReportMetrics,
    RestoreReport,
    RestoreStart,
    RuntimeDone,
    Shutdown,
    Start,
)
from ddx_core.invocation import Invocation, InvocationObserver, InvocationTracker
from tests.support.clock import HandClock, noon_ns

second = 1_000_000_000


class Diary(InvocationObserver):
    """Writes down what it is told, as `what:request id`."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def on_init_start(self, event: InitStart) -> None:
        self.entries.append("init_start")

    def on_init_report(self, event: InitReport) -> None:
        self.entries.append("init_report")

    def on_restore_start(self, event: RestoreStart) -> None:
        self.entries.append("restore_start")

    def on_restore_report(self, event: RestoreReport) -> None:
        self.entries.append("restore_report")

    def on_invoke(self, invocation: Invocation) -> None:
        self.entries.append(f"invoke:{invocation.request_id}")

    def on_start(self, invocation: Invocation, event: Start) -> None:
        assert invocation.start_ns == event.time_ns
        self.entries.append(f"start:{invocation.request_id}")

    def on_runtime_done(self, invocation: Invocation, event: RuntimeDone) -> None:
        assert invocation.runtime_done is event
        self.entries.append(f"done:{invocation.request_id}")

    def on_report(self, invocation: Invocation, event: Report) -> None:
        assert invocation.report is event
        self.entries.append(f"report:{invocation.request_id}")

    def on_shutdown(self, event: Shutdown) -> None:
        self.entries.append("shutdown")


class Setting:
    def __init__(self, *, sandbox_started_ns: int | None = noon_ns, **options: Any) -> None:
        self.clock = HandClock()
        self.diary = Diary()
        self.tracker = InvocationTracker(
            now_ns=self.clock,
            sandbox_started_ns=sandbox_started_ns,
            observers=[self.diary],
            **options,
        )

    def feed(self, *steps: tuple[str, str] | tuple[str, str, int]) -> None:
        for kind, request_id, *at in steps:
            time_ns = noon_ns + (at[0] if at else 1)
            match kind:
                case "invoke":
                    self.tracker.invoke(invoke(request_id))
                case "start":
                    self.tracker.observe(Start(request_id=request_id, time_ns=time_ns))
                case "done":
                    self.tracker.observe(RuntimeDone(request_id=request_id, time_ns=time_ns))
                case _:
                    self.tracker.observe(report(request_id, time_ns))


def invoke(request_id: str) -> Invoke:
    return Invoke(request_id=request_id, deadline_ms=noon_ns // 1_000_000 + 3000, invoked_function_arn="arn:f")


def report(request_id: str, time_ns: int = noon_ns) -> Report:
    return Report(request_id=request_id, time_ns=time_ns, metrics=ReportMetrics(duration_ms=1.0))


def test_the_ordinary_life_of_an_invocation() -> None:
    setting = Setting()
    setting.feed(("invoke", "a"), ("start", "a"))
    invocation = setting.tracker.get("a")
    assert invocation is not None
    assert invocation is setting.tracker.latest
    assert invocation.is_running
    assert invocation.is_first
    assert invocation.cold_start
    assert not invocation.proactive
    assert invocation.arn == "arn:f"
    assert invocation.invoked_ns == noon_ns
    setting.feed(("done", "a"), ("report", "a"))
    assert not invocation.is_running
    assert setting.diary.entries == ["invoke:a", "start:a", "done:a", "report:a"]
    assert setting.tracker.seen == 1


@pytest.mark.parametrize("order", list(permutations(["invoke", "start", "done", "report"])))
def test_in_any_order_everything_is_told_once(order: tuple[str, ...]) -> None:
    setting = Setting()
    setting.feed(*((kind, "a") for kind in order))
    setting.feed(("done", "a"), ("report", "a"), ("start", "a"))
    assert sorted(setting.diary.entries) == ["done:a", "invoke:a", "report:a", "start:a"]
    invocation = setting.tracker.get("a")
    assert invocation is not None
    assert invocation.is_first
    assert setting.tracker.seen == 1


def test_two_invocations_may_interleave() -> None:
    setting = Setting()
    setting.feed(("invoke", "a"), ("start", "b"), ("invoke", "b"), ("done", "b"), ("start", "a"), ("report", "a"))
    first, second_one = setting.tracker.get("a"), setting.tracker.get("b")
    assert first is not None
    assert second_one is not None
    assert (first.is_first, second_one.is_first) == (True, False)
    assert setting.tracker.seen == 2
    assert setting.tracker.latest is second_one


def test_a_retry_under_the_same_id_is_an_invocation_of_its_own() -> None:
    """Lambda tries a failed asynchronous event again, in the same sandbox and under the id it had."""
    setting = Setting()
    setting.feed(("invoke", "a"), ("start", "a", 1), ("done", "a", 2))
    first = setting.tracker.get("a")
    setting.feed(("invoke", "a"))
    retry = setting.tracker.get("a")
    assert retry is not None
    assert retry is not first
    assert retry.is_running
    assert not retry.is_first
    # The report of the first run comes late, as it always does; it is not mistaken for the retry's.
    setting.feed(("report", "a", 3))
    assert first is not None
    assert first.report is not None
    assert retry.is_running
    setting.feed(("start", "a", 4), ("done", "a", 5), ("report", "a", 6))
    assert retry.runtime_done is not None
    assert retry.report is not None
    assert setting.diary.entries == [
        *("invoke:a", "start:a", "done:a"),
        *("invoke:a", "report:a", "start:a", "done:a", "report:a"),
    ]
    assert setting.tracker.seen == 2


def test_repeated_telemetry_of_the_first_run_is_not_taken_for_the_retry() -> None:
    setting = Setting()
    setting.feed(("invoke", "a"), ("start", "a", 1), ("done", "a", 2), ("report", "a", 3), ("invoke", "a"))
    told = len(setting.diary.entries)
    setting.feed(("start", "a", 1), ("done", "a", 2), ("report", "a", 3))
    assert len(setting.diary.entries) == told
    retry = setting.tracker.get("a")
    assert retry is not None
    assert retry.is_running
    assert retry.start_ns is None


def test_a_retry_may_be_heard_of_by_telemetry_first() -> None:
    setting = Setting()
    setting.feed(("invoke", "a"), ("start", "a", 1), ("done", "a", 2), ("start", "a", 7), ("invoke", "a"))
    assert setting.tracker.seen == 2
    retry = setting.tracker.get("a")
    assert retry is not None
    assert retry.is_running
    assert retry.invoked_ns is not None


def test_runs_under_one_id_do_not_pile_up() -> None:
    setting = Setting()
    for number in range(100):
        setting.feed(("invoke", "a"), ("start", "a", number * 10), ("done", "a", number * 10 + 1))
    latest = setting.tracker.get("a")
    assert latest is not None
    assert latest.earlier is not None
    assert latest.earlier.earlier is None
    assert setting.tracker.seen == 100


@pytest.mark.parametrize("end", ["done", "report"])
def test_an_end_without_a_beginning_belongs_to_the_life_before(end: str) -> None:
    """After a timeout the new process is told the end of the invocation that killed the old one."""
    setting = Setting()
    setting.feed((end, "old"))
    assert setting.tracker.seen == 0
    assert setting.tracker.latest is None
    assert setting.diary.entries == [f"{end}:old"]
    setting.feed(("invoke", "new"))
    invocation = setting.tracker.get("new")
    assert invocation is not None
    assert invocation.is_first
    assert invocation.cold_start
    old = setting.tracker.get("old")
    assert old is not None
    assert not old.has_begun


def test_an_environment_made_ahead_of_time_is_no_cold_start() -> None:
    setting = Setting()
    setting.clock.advance(11)
    setting.feed(("invoke", "a"), ("invoke", "b"))
    first, other = setting.tracker.get("a"), setting.tracker.get("b")
    assert first is not None
    assert other is not None
    assert (first.is_first, first.cold_start, first.proactive) == (True, False, True)
    assert (other.is_first, other.cold_start, other.proactive) == (False, False, False)


def test_a_restore_counts_as_the_start_of_the_sandbox() -> None:
    setting = Setting()
    setting.clock.advance(3600)
    setting.tracker.observe(RestoreStart(time_ns=noon_ns + 3599 * second))
    setting.tracker.observe(RestoreReport(time_ns=noon_ns + 3599 * second))
    setting.feed(("invoke", "a"))
    assert setting.tracker.latest is not None
    assert setting.tracker.latest.cold_start
    assert setting.diary.entries == ["restore_start", "restore_report", "invoke:a"]


def test_a_restore_that_is_delivered_twice_is_told_once() -> None:
    setting = Setting(sandbox_started_ns=None)
    for _ in range(2):
        setting.tracker.observe(RestoreStart(time_ns=noon_ns))
        setting.tracker.observe(RestoreReport(time_ns=noon_ns + second, metrics=InitMetrics(duration_ms=1000.0)))
    assert setting.diary.entries == ["restore_start", "restore_report"]
    setting.tracker.observe(RestoreReport(time_ns=noon_ns + 2 * second, metrics=InitMetrics(duration_ms=1000.0)))
    assert setting.diary.entries[2:] == ["restore_report"], "another one"


@pytest.mark.parametrize(("restored_s_ago", "is_cold"), [(None, True), (9, True), (11, False)])
def test_after_a_restore_a_first_invocation_is_cold_unless_the_restore_is_known_to_be_old(
    restored_s_ago: int | None, is_cold: bool
) -> None:
    setting = Setting(sandbox_started_ns=None)
    setting.tracker.observe(InitStart())
    setting.clock.advance(3600)
    if restored_s_ago is not None:
        setting.tracker.observe(RestoreStart(time_ns=noon_ns + (3600 - restored_s_ago) * second))
    setting.feed(("invoke", "a"))
    first = setting.tracker.latest
    assert first is not None
    # Told when the invocation is under way, it changes nothing any more.
    setting.tracker.observe(RestoreStart(time_ns=noon_ns))
    setting.feed(("start", "a"), ("done", "a"), ("report", "a"), ("invoke", "b"))
    assert (first.cold_start, first.proactive) == (is_cold, not is_cold)
    second_one = setting.tracker.latest
    assert second_one is not None
    assert (second_one.cold_start, second_one.proactive) == (False, False)


def test_init_is_told_once() -> None:
    setting = Setting()
    for _ in range(2):
        setting.tracker.observe(InitStart())
        setting.tracker.observe(InitReport(metrics=InitMetrics(duration_ms=1.0)))
        setting.tracker.observe(LogLine(time_ns=0, text="nothing of note"))
    setting.tracker.shutdown(Shutdown())
    assert setting.diary.entries == ["init_start", "init_report", "shutdown"]


def test_without_invoke_events_the_first_telemetry_tells_of_an_invocation() -> None:
    setting = Setting(has_invoke_events=False)
    setting.feed(("start", "a"), ("report", "a"), ("report", "b"))
    assert setting.diary.entries == ["invoke:a", "start:a", "report:a", "invoke:b", "report:b"]
    assert setting.tracker.seen == 2


def test_the_oldest_are_forgotten_first() -> None:
    setting = Setting(capacity=3)
    setting.feed(*(("invoke", str(number)) for number in range(5)))
    assert [setting.tracker.get(str(number)) is not None for number in range(5)] == [False, False, True, True, True]


def test_the_end_of_a_forgotten_invocation_is_not_that_of_a_new_one() -> None:
    setting = Setting(has_invoke_events=False, capacity=3)
    ids = [str(number) for number in range(8)]
    setting.feed(*(("start", each) for each in ids), *(("report", each) for each in ids))
    entries = setting.diary.entries
    assert [entry for entry in entries if entry.startswith("invoke")] == [f"invoke:{each}" for each in ids]
    assert [entry for entry in entries if entry.startswith("report")] == [f"report:{each}" for each in ids]
    assert setting.tracker.seen == 8


def test_an_observer_that_fails_is_reported_and_the_next_one_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(InvocationObserver):
        def on_invoke(self, invocation: Invocation) -> None:
            raise ValueError("a defect")

    diary = Diary()
    tracker = InvocationTracker(now_ns=HandClock(), sandbox_started_ns=noon_ns, observers=[Broken(), diary])
    tracker.invoke(invoke("a"))
    assert diary.entries == ["invoke:a"]
    assert "invocation_observer_failed observer=Broken" in caplog.text


class AnyOrder(RuleBasedStateMachine):
    """Events of a few ids, in any order and any number: bounded, consistent, and no end told more often than there were runs."""

    def __init__(self) -> None:
        super().__init__()
        self.setting = Setting(capacity=3)
        self.invokes = 0
        self.at = 0

    @rule(
        kind=st.sampled_from(["invoke", "start", "done", "report"]),
        request_id=st.sampled_from("abcde"),
        again=st.booleans(),
    )
    def feed(self, kind: str, request_id: str, again: bool) -> None:
        self.at += not again
        self.invokes += kind == "invoke"
        self.setting.feed((kind, request_id, self.at))

    @invariant()
    def it_is_consistent(self) -> None:
        tracker, entries = self.setting.tracker, self.setting.diary.entries
        known = [each for each in map(tracker.get, "abcde") if each is not None]
        assert len(known) <= 3
        for each in known:
            assert each.earlier is None or each.earlier.earlier is None
            assert each.has_begun or (each.start_ns is None and each.invoked_ns is None)
        assert sum(each.is_first for each in known) <= 1
        assert sum(entry.startswith("invoke:") for entry in entries) == self.invokes
        assert tracker.seen >= self.invokes
        assert (tracker.seen == 0) == (tracker.latest is None)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_a_process_that_takes_over_a_sandbox_tells_of_no_cold_start() -> None:
    tracker = InvocationTracker(now_ns=lambda: 0, sandbox_started_ns=0, is_new_sandbox=False)
    invocation = tracker.invoke(Invoke(request_id="r1", deadline_ms=0))
    assert invocation.is_first
    assert not invocation.cold_start
    assert not invocation.proactive
