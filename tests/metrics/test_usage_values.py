"""Two readings → what was used in between, by the documented formulas; peaks; and the task that looks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.events import Report, ReportMetrics, RuntimeDone, Start
from ddx_core.invocation import Invocation
from ddx_metrics.usage import Cpu, Network, ProcReader, Reading, Space, Usage, UsageSampler
from ddx_metrics.usage.values import cpu_time_values, network_values, utilization_values


def idle(uptime_ms: float, total_ms: float, **cores: float) -> Reading:
    return Reading(cpu=Cpu(0, 0, total_ms, cores), uptime_ms=uptime_ms)


pct, total, cores_, max_, min_ = (
    "cpu_total_utilization_pct", "cpu_total_utilization", "num_cores", "cpu_max_utilization", "cpu_min_utilization",
)  # fmt: skip

utilization: list[tuple[Reading, Reading, Mapping[str, float]]] = [
    (
        idle(1_891_100, 10, cpu0=10, cpu1=30),
        idle(1_891_900, 1130, cpu0=570, cpu1=600),
        {pct: 30.0, total: 0.6, cores_: 2, max_: 30.0, min_: 28.75},
    ),
    (idle(1000, 0, cpu0=0), idle(500, 10, cpu0=10), {}),
    (idle(1000, 0, cpu0=0), idle(1000, 10, cpu0=10), {}),
    (
        idle(0, 30, cpu0=10, cpu1=20),
        idle(800, 2030, cpu0=1010, cpu1=1020),
        {pct: 0, total: 0, cores_: 2, max_: 0, min_: 0},
    ),
    (
        idle(0, 30, cpu0=10, cpu1=20),
        idle(1000, 1100, cpu0=1010, cpu1=1050),
        {pct: 46.5, total: 0.93, cores_: 2, max_: 0, min_: 0},
    ),
    (
        # The idle counter ran backwards: not more than everything was busy.
        idle(0, 1000, cpu0=1000),
        idle(500, 900, cpu0=900),
        {pct: 100, total: 1, cores_: 1, max_: 100, min_: 100},
    ),
    (
        idle(0, 0, cpu0=0, cpu1=0),
        idle(1, 1.3, cpu0=0.5, cpu1=0.8),
        {pct: 35.0, total: 0.7, cores_: 2, max_: 50, min_: 20},
    ),
    # Without a core in common nothing is known of single ones.
    (idle(0, 0, cpu0=0), idle(100, 50, cpu7=50), {pct: 50, total: 0.5, cores_: 1}),
    (Reading(uptime_ms=1), idle(2, 1, cpu0=1), {}),
    (idle(1, 1, cpu0=1), Reading(uptime_ms=2), {}),
    (Reading(cpu=Cpu(0, 0, 0, {"cpu0": 0})), idle(2, 1, cpu0=1), {}),
]


@pytest.mark.parametrize(("before", "after", "expected"), utilization)
def test_how_busy_the_cores_were(before: Reading, after: Reading, expected: Mapping[str, float]) -> None:
    assert dict(utilization_values(before, after)) == pytest.approx(expected)


def cpu(user_ms: float, system_ms: float) -> Cpu:
    return Cpu(user_ms, system_ms, 0, {"cpu0": 0})


def test_cpu_time_is_what_was_added() -> None:
    assert cpu_time_values(cpu(100, 3), cpu(200, 56)) == [
        ("cpu_user_time", 100), ("cpu_system_time", 53), ("cpu_total_time", 153),
    ]  # fmt: skip
    for before, after in ((None, cpu(1, 1)), (cpu(1, 1), None), (cpu(5, 5), cpu(4, 6)), (cpu(5, 5), cpu(6, 4))):
        assert cpu_time_values(before, after) == []


def test_network_bytes_are_what_was_added() -> None:
    assert network_values(Network(180, 254), Network(20180, 75000)) == [
        ("rx_bytes", 20000), ("tx_bytes", 74746), ("total_network", 94746),
    ]  # fmt: skip
    some = Network(5, 5)
    for before, after in ((None, some), (some, None), (some, Network(4, 6)), (some, Network(6, 4))):
        assert network_values(before, after) == []


counters = st.floats(min_value=0, max_value=1e12)


@given(st.lists(counters, min_size=10, max_size=10), st.integers(1, 4))
def test_shares_are_between_none_and_all_whatever_the_counters_say(numbers: list[float], count: int) -> None:
    before = Reading(cpu=Cpu(0, 0, numbers[0], dict(zip("abcd", numbers[1:5], strict=True))), uptime_ms=numbers[5])
    names = "abcd"[:count]
    after = Reading(cpu=Cpu(0, 0, numbers[6], dict(zip(names, numbers[6:], strict=False))), uptime_ms=numbers[9])
    values = dict(utilization_values(before, after))
    if values:
        assert 0 <= values[min_] <= values[max_] <= 100
        assert 0 <= values[pct] <= 100
        assert 0 <= values[total] <= values[cores_] == count


# --- peaks ------------------------------------------------------------------------------------------------------------


class Machine(ProcReader):
    """Numbers set by a test."""

    def __init__(self) -> None:
        super().__init__("/nowhere", "/nowhere", ticks_per_s=100)
        self.used: tuple[int, int, int] | None = (0, 0, 0)
        self.size: int | None = 1000
        self.limits_read = 0
        self.looks = 0

    def pids(self) -> list[str]:
        self.looks += 1
        return ["7"]

    def tmp(self) -> Space | None:
        return Space(used=self.used[0], size=self.size) if self.used and self.size else None

    def descriptors(self, pids: list[str]) -> int:
        return self.used[1] if self.used else 0

    def threads(self, pids: list[str]) -> int | None:
        return self.used[2] if self.used else None

    def limits(self, pids: list[str]) -> tuple[int, int]:
        self.limits_read += 1
        return 900, 1024


def test_the_most_that_was_seen_is_told() -> None:
    machine = Machine()
    usage = Usage(machine)
    for machine.used, expected in (
        ((11, 20, 5), (11, 20, 5)),
        ((10, 10, 2), (11, 20, 5)),
        (None, (11, 20, 5)),
        ((50, 60, 70), (50, 60, 70)),
        ((49, 99, 1), (50, 99, 70)),
    ):
        usage.sample()
        machine.used = None
        values = dict(usage.peak_values())
        assert (values["tmp_used"], values["fd_use"], values["threads_use"]) == expected
        assert (values["fd_max"], values["threads_max"]) == (900, 1024)
    assert machine.limits_read == 1
    usage.reset()
    assert dict(usage.peak_values()) == {"fd_max": 900, "threads_max": 1024}


def test_the_last_look_is_taken_when_it_is_told() -> None:
    machine = Machine()
    machine.used = (400, 3, 2)
    assert dict(Usage(machine).peak_values()) == {
        "fd_max": 900, "threads_max": 1024, "tmp_used": 400, "tmp_max": 1000, "tmp_free": 600, "fd_use": 3,
        "threads_use": 2,
    }  # fmt: skip


def test_without_the_file_systems_size_only_what_was_used_is_told() -> None:
    machine = Machine()
    machine.used = (400, 0, 0)
    usage = Usage(machine)
    usage.sample()
    machine.size = None
    assert dict(usage.peak_values()) == {"fd_max": 900, "threads_max": 1024, "tmp_used": 400}


def test_a_machine_without_proc_tells_the_highest_limits(tmp_path: Path) -> None:
    usage = Usage(ProcReader(str(tmp_path / "nowhere"), str(tmp_path / "nowhere")))
    assert usage.used(usage.read(), usage.read()) == usage.busy(usage.read()) == []
    assert usage.peak_values() == [("fd_max", 1024.0), ("threads_max", 1024.0)]


# --- the task ---------------------------------------------------------------------------------------------------------


def invocation(request_id: str) -> Invocation:
    return Invocation(request_id, is_first=False, cold_start=False, proactive=False)


class Watch:
    def __init__(self, *, one_at_a_time: bool = True) -> None:
        self.machine = Machine()
        self.sampler = UsageSampler(Usage(self.machine), one_at_a_time=one_at_a_time)

    def start(self, which: Invocation) -> None:
        self.sampler.on_start(which, Start(request_id=which.request_id))

    def done(self, which: Invocation) -> None:
        which.runtime_done = RuntimeDone(request_id=which.request_id)
        self.sampler.on_runtime_done(which, which.runtime_done)

    def report(self, which: Invocation) -> None:
        which.report = Report(request_id=which.request_id, metrics=ReportMetrics(duration_ms=1.0))
        self.sampler.on_report(which, which.report)


async def test_looks_are_taken_while_an_invocation_runs_and_grow_rarer(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    watch = Watch()
    await nursery.start(watch.sampler.serve)
    await trio.sleep(3600)
    assert watch.machine.looks == 0
    a = invocation("a")
    watch.start(a)
    await trio.sleep(0.04)
    assert watch.machine.looks == 0
    await trio.sleep(0.96)
    assert watch.machine.looks == 4  # after 0.05, 0.15, 0.35 and 0.75 s
    await trio.sleep(60)
    assert 60 <= watch.machine.looks <= 65
    watch.done(a)
    looks = watch.machine.looks
    await trio.sleep(3600)
    watch.report(a)
    await trio.sleep(3600)
    assert watch.machine.looks == looks
    watch.start(a)  # its end was told before its beginning
    await trio.sleep(3600)
    assert watch.machine.looks == looks


async def test_an_end_that_is_never_told_ends_with_the_next_beginning(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    watch = Watch()
    await nursery.start(watch.sampler.serve)
    lost, next_ = invocation("lost"), invocation("next")
    watch.start(lost)
    await trio.sleep(1)
    watch.start(next_)
    watch.done(next_)
    looks = watch.machine.looks
    await trio.sleep(3600)
    assert watch.machine.looks == looks


async def test_where_invocations_overlap_looks_go_on_until_the_last_has_ended(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    watch = Watch(one_at_a_time=False)
    await nursery.start(watch.sampler.serve)
    a, b = invocation("a"), invocation("b")
    watch.start(a)
    watch.start(b)
    watch.report(a)
    await trio.sleep(10)
    assert watch.machine.looks > 8
    watch.report(b)
    looks = watch.machine.looks
    await trio.sleep(3600)
    assert watch.machine.looks == looks
