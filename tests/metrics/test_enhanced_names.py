"""Every enhanced metric by name: from which event, which value, which unit, at what time; in any order of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_metrics.sample import MetricType, Sample
from ddx_metrics.usage import Cpu, Network, ProcReader, Space, Usage
from tests.support.clock import noon_ns

from .story import Story, at_s

noon_s = noon_ns // 1_000_000_000
later_s = noon_s + 60


class Machine(ProcReader):
    """Counters that go on with every reading; peaks that a test sets."""

    def __init__(self) -> None:
        super().__init__("/nowhere", "/nowhere", ticks_per_s=100)
        self.readings = 0
        self.used: tuple[int, int, int] = (400, 20, 5)

    def network(self) -> Network | None:
        return Network(180 + 20_000 * self.readings, 254 + 74_746 * self.readings)

    def cpu(self) -> Cpu | None:
        self.readings += 1
        n = self.readings - 1
        return Cpu(100 + 100 * n, 3 + 53 * n, 10 + 1120 * n, {"cpu0": 10 + 560 * n, "cpu1": 30 + 570 * n})

    def uptime_ms(self) -> float | None:
        return 1_891_100 + 800 * (self.readings - 1)

    def pids(self) -> list[str]:
        return ["7"]

    def limits(self, pids: list[str]) -> tuple[int, int]:
        return 900, 1023

    def descriptors(self, pids: list[str]) -> int:
        return self.used[1]

    def threads(self, pids: list[str]) -> int | None:
        return self.used[2]

    def tmp(self) -> Space | None:
        return Space(used=self.used[0], size=1000)


Telling = Callable[[Story], None]


def story_of(**options: Any) -> Story:
    story = Story(usage=Usage(Machine()), **options)
    story.clock.advance(60)  # so that an event's own time and the present differ
    return story


def invoke(story: Story) -> None:
    story.init_start()
    story.invoke()
    story.start()


def runtime_done(**record: Any) -> Telling:
    def tell(story: Story) -> None:
        invoke(story)
        spans = [
            {"name": "responseLatency", "start": "", "durationMs": 23.02},
            {"name": "responseDuration", "start": "", "durationMs": 20.5},
        ]
        told: dict[str, Any] = {"metrics": {"durationMs": 2599.0, "producedBytes": 8}, "spans": spans, **record}
        story.runtime_done(**told)

    return tell


def report(**metrics: Any) -> Telling:
    def tell(story: Story) -> None:
        runtime_done()(story)
        values: dict[str, Any] = {
            "durationMs": 2599.4,
            "billedDurationMs": 2600,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 94,
        }
        story.report(**{**values, **metrics})

    return tell


def managed_report(story: Story) -> None:
    story.start()
    spans = [
        {"name": "responseLatency", "start": "", "durationMs": 0.847},
        {"name": "responseDuration", "start": "", "durationMs": 0.127},
    ]
    story.tell("report", requestId="a", status="success", metrics={"durationMs": 1.148}, spans=spans)


def init_report(story: Story) -> None:
    story.init_report()


def restore_report(story: Story) -> None:
    story.tell("restoreReport", status="success", metrics={"durationMs": 150.5})


def shutdown(story: Story) -> None:
    story.shutdown()


def managed_shutdown(story: Story) -> None:
    managed_report(story)
    story.shutdown()


def tracer_error(story: Story) -> None:
    invoke(story)
    story.enhanced.invocation_error("a")


def log_line(story: Story) -> None:
    invoke(story)
    story.enhanced.out_of_memory("a", at_s * 1_000_000_000)


event, now = at_s, later_s
on_demand: list[tuple[str, Telling, float, int]] = [
    ("invocations", invoke, 1, now),
    ("errors", runtime_done(status="error"), 1, event),
    ("errors", runtime_done(status="failure"), 1, event),
    ("errors", runtime_done(status="timeout", metrics=None), 1, event),
    ("errors", tracer_error, 1, now),
    ("timeouts", runtime_done(status="timeout"), 1, event),
    ("out_of_memory", runtime_done(status="error", errorType="Runtime.OutOfMemory"), 1, event),
    ("out_of_memory", report(maxMemoryUsedMB=128), 1, event),
    ("out_of_memory", log_line, 1, event),
    ("runtime_duration", runtime_done(), 2599.0, event),
    ("produced_bytes", runtime_done(), 8, event),
    ("response_latency", runtime_done(), 23.02, event),
    ("response_duration", runtime_done(), 20.5, event),
    ("duration", report(), 2.5994, event),
    ("billed_duration", report(), 2.6, event),
    ("max_memory_used", report(), 94, event),
    ("memorysize", report(), 128, event),
    ("estimated_cost", report(), 5.616678e-06, event),
    ("post_runtime_duration", report(), 0.4, event),
    ("init_duration", init_report, 0.5, event),
    ("init_duration", report(initDurationMs=549.04), 0.54904, event),
    ("snapstart_restore_duration", restore_report, 0.1505, event),
    ("rx_bytes", report(), 40_000, now),
    ("tx_bytes", report(), 149_492, now),
    ("total_network", report(), 189_492, now),
    ("cpu_user_time", report(), 200, now),
    ("cpu_system_time", report(), 106, now),
    ("cpu_total_time", report(), 306, now),
    ("cpu_total_utilization_pct", runtime_done(), 30.0, now),
    ("cpu_total_utilization", runtime_done(), 0.6, now),
    ("num_cores", runtime_done(), 2, now),
    ("cpu_max_utilization", runtime_done(), 30.0, now),
    ("cpu_min_utilization", runtime_done(), 28.75, now),
    ("fd_max", runtime_done(), 900, now),
    ("threads_max", runtime_done(), 1023, now),
    ("tmp_used", runtime_done(), 400, now),
    ("tmp_max", runtime_done(), 1000, now),
    ("tmp_free", runtime_done(), 600, now),
    ("fd_use", runtime_done(), 20, now),
    ("threads_use", runtime_done(), 5, now),
    ("shutdowns", shutdown, 1, now),
    ("unused_init", shutdown, 1, now),
]
managed: list[tuple[str, Telling, float, int]] = [
    ("invocations", managed_report, 1, now),
    ("runtime_duration", managed_report, 0.847, event),
    ("response_latency", managed_report, 0.847, event),
    ("response_duration", managed_report, 0.127, event),
    ("duration", managed_report, 0.001148, event),
    ("rx_bytes", managed_report, 20_000, now),
    ("tx_bytes", managed_report, 74_746, now),
    ("total_network", managed_report, 94_746, now),
    ("cpu_user_time", managed_report, 100, now),
    ("cpu_system_time", managed_report, 53, now),
    ("cpu_total_time", managed_report, 153, now),
    ("cpu_total_utilization_pct", managed_report, 30.0, now),
    ("cpu_total_utilization", managed_report, 0.6, now),
    ("num_cores", managed_report, 2, now),
    ("cpu_max_utilization", managed_report, 30.0, now),
    ("cpu_min_utilization", managed_report, 28.75, now),
    ("init_duration", init_report, 0.5, event),
    ("shutdowns", managed_shutdown, 1, now),
    ("fd_max", managed_shutdown, 900, now),
    ("threads_max", managed_shutdown, 1023, now),
    ("tmp_used", managed_shutdown, 400, now),
    ("tmp_max", managed_shutdown, 1000, now),
    ("tmp_free", managed_shutdown, 600, now),
    ("fd_use", managed_shutdown, 20, now),
    ("threads_use", managed_shutdown, 5, now),
    ("unused_init", shutdown, 1, now),
]
of_proc: Final = {
    "rx_bytes", "tx_bytes", "total_network", "cpu_user_time", "cpu_system_time", "cpu_total_time",
    "cpu_total_utilization_pct", "cpu_total_utilization", "num_cores", "cpu_max_utilization", "cpu_min_utilization",
    "fd_max", "threads_max", "tmp_used", "tmp_max", "tmp_free", "fd_use", "threads_use",
}  # fmt: skip


@pytest.mark.parametrize(("name", "tell", "value", "time_s"), on_demand)
def test_on_demand(name: str, tell: Telling, value: float, time_s: int) -> None:
    story = story_of()
    tell(story)
    sample = story.only(name)
    assert (sample.value, sample.time_s) == (pytest.approx(value), time_s)
    assert sample.type is MetricType.DISTRIBUTION
    assert sample.rate == 1.0


@pytest.mark.parametrize(("name", "tell", "value", "time_s"), managed)
def test_on_managed_instances(name: str, tell: Telling, value: float, time_s: int) -> None:
    story = story_of(managed=True)
    tell(story)
    sample = story.only(name)
    assert (sample.value, sample.time_s) == (pytest.approx(value), time_s)


@pytest.mark.parametrize(("status", "counted"), [("error", {"errors"}), ("timeout", {"errors", "timeouts"})])
def test_managed_instances_reports_tell_of_errors(status: str, counted: set[str]) -> None:
    story = story_of(managed=True)
    story.start()
    story.tell("report", requestId="a", status=status, errorType="Runtime.OutOfMemory", metrics={"durationMs": 1.148})
    counted = counted | ({"out_of_memory"} if status == "error" else set())
    assert counted == story.counts.keys() & {"errors", "timeouts", "out_of_memory"}
    assert all(story.counts[name] == 1 for name in counted)
    # Without the spans the report's duration is what is known of the runtime's.
    assert story.only("runtime_duration").value == 1.148


def test_managed_instances_tell_no_cost_and_nothing_of_the_end_of_the_runtime() -> None:
    story = story_of(managed=True)
    managed_shutdown(story)
    assert not story.counts.keys() & {
        "estimated_cost", "billed_duration", "max_memory_used", "memorysize", "post_runtime_duration", "produced_bytes",
    }  # fmt: skip


@pytest.mark.parametrize(
    "tell", [report(initDurationMs=1), managed_shutdown, tracer_error, restore_report, init_report]
)
def test_switched_off_nothing_is_told(tell: Telling) -> None:
    story = story_of(enabled=False, managed=tell is managed_shutdown)
    tell(story)
    story.shutdown()
    assert story.samples == []


def test_without_proc_the_rest_is_told() -> None:
    story = Story()
    report()(story)
    assert not story.counts.keys() & of_proc
    assert {"duration", "runtime_duration", "errors"} - story.counts.keys() == {"errors"}


def test_a_sandbox_that_another_process_served_before_is_not_unused() -> None:
    story = story_of(is_new_sandbox=False)
    story.shutdown()
    assert story.counts == {"shutdowns": 1}


def test_every_value_carries_how_the_sandbox_was_made() -> None:
    story = story_of()
    report()(story)
    story.shutdown()
    assert all("init_type:on-demand" in sample.tags for sample in story.samples)


def test_an_init_that_fails_and_is_done_again_is_one_error_and_one_init() -> None:
    """After a failed init Lambda does it again within the first invocation, which then ends by the same error."""
    story = story_of()
    story.init_start()
    story.tell(
        "initRuntimeDone", initializationType="on-demand", phase="init", status="error", errorType="Runtime.Exit"
    )
    story.init_report()
    story.invoke()
    story.tell("initStart", initializationType="on-demand", phase="invoke")
    story.tell("initRuntimeDone", initializationType="on-demand", phase="invoke", status="error")
    story.tell("initReport", initializationType="on-demand", phase="invoke", metrics={"durationMs": 700.0})
    story.start()
    story.runtime_done(status="error", errorType="Runtime.ExitError", metrics=None, spans=[])
    story.report(status="error", error="Runtime.ExitError", initDurationMs=700)
    assert story.counts["errors"] == 1
    assert story.only("init_duration").value == 0.5
    assert story.counts["invocations"] == 1


def test_a_restored_sandbox_tells_its_restore_and_counts_its_first_invocation() -> None:
    """SnapStart: the init was long ago, elsewhere; platform.initStart never comes."""
    story = story_of()
    story.tell("restoreStart")
    story.tell("restoreRuntimeDone", status="success")
    story.tell("restoreReport", status="success", metrics={"durationMs": 150.5})
    story.invoke()
    story.start()
    story.runtime_done()
    assert story.counts["snapstart_restore_duration"] == story.counts["invocations"] == 1


# --- what is whose ----------------------------------------------------------------------------------------------------


def test_a_late_report_tells_its_own_invocations_use_and_nothing_of_the_next_one() -> None:
    story = story_of()
    invoke(story)
    story.runtime_done("a")
    story.invoke("b")
    story.start("b")
    story.report("a")
    story.runtime_done("b")
    story.report("b")
    received = [sample.value for sample in story.named("rx_bytes")]
    # Readings: at a's beginning and end, at b's beginning and end, and with b's report.
    assert received == [40_000, 40_000]


def test_an_end_that_is_told_during_the_next_invocation_gets_the_peaks_of_its_own() -> None:
    machine = Machine()
    story = Story(usage=Usage(machine))
    invoke(story)
    machine.used = (700, 50, 9)
    story.invoke("b")
    story.start("b")
    machine.used = (300, 10, 3)
    story.runtime_done("a")
    story.runtime_done("b")
    assert [sample.value for sample in story.named("tmp_used")] == [700, 300]
    assert [sample.value for sample in story.named("fd_use")] == [50, 10]
    assert [sample.tags[0] for sample in story.named("fd_use")] == ["cold_start:true", "cold_start:false"]


def test_an_invocation_that_began_before_this_process_tells_no_use() -> None:
    story = story_of(is_new_sandbox=False)
    story.runtime_done("a")
    story.report("a")
    assert not story.counts.keys() & of_proc


def test_managed_instances_tell_their_peaks_every_minute_while_they_are_used() -> None:
    machine = Machine()
    story = Story(usage=Usage(machine), managed=True)
    for number in range(10):
        story.start(f"r{number}")
        story.report(f"r{number}")
        story.clock.advance(20)
    assert len(story.named("tmp_used")) == len(story.named("fd_max")) == 3
    story.clock.advance(-86400)  # a clock that is set back does not stop it
    story.start("next")
    story.report("next")
    assert len(story.named("tmp_used")) == 4


# --- any order --------------------------------------------------------------------------------------------------------

ways: Final = ("success", "error", "failure", "timeout", "memory")


def tellings(story: Story, way: str, request_id: str) -> list[Callable[[], None]]:
    """Everything that anybody says of one invocation; errors and exhausted memory come from all sides."""
    status = "error" if way == "memory" else way
    error = "Runtime.OutOfMemory" if way == "memory" else None
    told: list[Callable[[], None]] = [
        lambda: story.invoke(request_id),
        lambda: story.start(request_id),
        lambda: story.runtime_done(request_id, status=status, **({} if error is None else {"errorType": error})),
        lambda: story.report(
            request_id, status, error, maxMemoryUsedMB=128 if way == "memory" else 64, initDurationMs=1
        ),
    ]
    if way != "success":
        told.append(lambda: story.enhanced.invocation_error(request_id))
    if way == "memory":
        told.append(lambda: story.enhanced.out_of_memory(request_id, noon_ns))
    return told


@given(st.data(), st.lists(st.sampled_from(ways), min_size=1, max_size=3))
def test_everything_is_counted_once_for_each_invocation_in_whatever_order_it_is_told(
    data: st.DataObject, ends: list[str]
) -> None:
    story = story_of()
    told: list[Callable[[], None]] = [story.init_start, story.init_report]
    for number, way in enumerate(ends):
        told += tellings(story, way, f"r{number}")
    for tell in data.draw(st.permutations(told)):
        tell()
    story.shutdown()
    failed = [way for way in ends if way != "success"]
    expected = {
        "invocations": len(ends), "errors": len(failed), "timeouts": ends.count("timeout"),
        "out_of_memory": ends.count("memory"), "runtime_duration": len(ends), "duration": len(ends),
        "estimated_cost": len(ends), "post_runtime_duration": len(ends), "init_duration": 1, "shutdowns": 1,
    }  # fmt: skip
    assert {name: story.counts.get(name, 0) for name in expected} == expected
    assert "unused_init" not in story.counts
    for name in of_proc:
        assert story.counts.get(name, 0) <= len(ends)


@given(st.data())
def test_one_invocation_is_the_cold_start_in_whatever_order_telemetry_and_invokes_mix(data: st.DataObject) -> None:
    """Each source keeps its own order, as both APIs do; how they mix is anyone's guess."""
    story = Story()
    story.init_start()
    telemetry: list[Callable[[], None]] = []
    invokes: list[Callable[[], None]] = []
    for number in range(3):
        first, *rest = tellings(story, "error", f"r{number}")
        invokes.append(first)
        telemetry += rest
    while telemetry or invokes:
        source = data.draw(st.sampled_from([each for each in (telemetry, invokes) if each]))
        source.pop(0)()
    by_name: dict[str, list[Sample]] = {}
    for sample in story.samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name in ("invocations", "errors", "runtime_duration", "duration"):
        samples = by_name[f"aws.lambda.enhanced.{name}"]
        assert len(samples) == 3
        assert sum("cold_start:true" in sample.tags for sample in samples) == 1
