"""The on-demand loop under a clock of its own: when it flushes, how long it waits, when it asks for the next event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from ddx_agent.modes.elapsed import Elapsed
from ddx_agent.modes.end_of_invocation import EndOfInvocation
from ddx_agent.modes.flusher import Flusher
from ddx_agent.modes.on_demand import OnDemand
from ddx_core import log
from ddx_core.events import Invoke, RuntimeDone, Shutdown, Start
from ddx_core.flush import Strategy, parse_strategy
from ddx_core.invocation import InvocationTracker
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account

start_s = 1_700_000_000


class Source:
    """Plays Lambda: `ask` is set whenever the loop asks for the next event."""

    def __init__(self) -> None:
        self.give, self._take = trio.open_memory_channel[Invoke | Shutdown](4)
        self.asked_at: list[float] = []
        self.asked = trio.Event()

    async def next(self) -> Invoke | Shutdown:
        self.asked_at.append(trio.current_time())
        self.asked.set()
        event = await self._take.receive()
        self.asked = trio.Event()
        return event


class Pipeline:
    """Records each flush and takes `seconds` for it."""

    name = "logs"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.flushes: list[tuple[FlushKind, float]] = []
        self.accounts = (Account("logs"),)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()

    async def flush(self, kind: FlushKind) -> None:
        self.flushes.append((kind, trio.current_time()))
        await trio.sleep(self.seconds)


class World:
    def __init__(
        self, mode: OnDemand, source: Source, pipeline: Pipeline, tracker: InvocationTracker, *, says_start: bool
    ) -> None:
        self.says_start = says_start
        self.mode = mode
        self.source = source
        self.pipeline = pipeline
        self.tracker = tracker
        self.zero = trio.current_time()

    async def invoke(self, request_id: str, *, timeout_s: float = 30.0) -> None:
        await self.source.asked.wait()
        deadline_ms = int((start_s + trio.current_time() - self.zero + timeout_s) * 1000)
        await self.source.give.send(Invoke(request_id=request_id, deadline_ms=deadline_ms))
        await trio.testing.wait_all_tasks_blocked()
        if self.says_start:
            self.tracker.observe(Start(request_id=request_id, time_ns=1))

    def done(self, request_id: str, *, status: str = "success", error_type: str | None = None) -> None:
        self.tracker.observe(RuntimeDone(request_id=request_id, status=status, error_type=error_type))

    async def finish(self) -> None:
        await self.source.asked.wait()
        await self.source.give.send(Shutdown(reason="spindown"))

    @property
    def kinds(self) -> list[FlushKind]:
        return [kind for kind, _ in self.pipeline.flushes]


@asynccontextmanager
async def open_world(
    strategy: Strategy | str = "end",
    *,
    flush_s: float = 0.1,
    has_telemetry: bool = True,
    max_added_s: float = 2.0,
    is_in_trouble: Callable[[], bool] = lambda: False,
    says_start: bool = True,
) -> AsyncGenerator[World]:
    zero = trio.current_time()

    def wall_clock() -> int:
        return int((start_s + trio.current_time() - zero) * 1e9)

    source, pipeline, ends, elapsed = Source(), Pipeline(flush_s), EndOfInvocation(), Elapsed(wall_clock)
    tracker = InvocationTracker(now_ns=wall_clock, sandbox_started_ns=wall_clock(), observers=[ends])
    flusher = Flusher([pipeline], elapsed, is_in_trouble)
    mode = OnDemand(
        source=source,
        tracker=tracker,
        ends=ends,
        flusher=flusher,
        strategy=parse_strategy(strategy) if isinstance(strategy, str) else strategy,
        elapsed=elapsed,
        wall_clock=wall_clock,
        max_added_s=max_added_s,
    )
    mode.has_telemetry = has_telemetry
    world = World(mode, source, pipeline, tracker, says_start=says_start)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.serve_background)
        nursery.start_soon(mode.run)
        yield world
        await world.finish()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_end_waits_for_the_runtime_flushes_and_then_asks(autojump_clock: MockClock) -> None:
    async with open_world("end") as world:
        await world.invoke("r1")
        await trio.sleep(3)
        assert not world.pipeline.flushes
        assert not world.source.asked.is_set()
        world.done("r1")
        await world.source.asked.wait()
        assert world.kinds == [FlushKind.BLOCKING]
        assert world.source.asked_at[-1] - world.pipeline.flushes[0][1] == pytest.approx(0.1)
        assert list(world.mode.added_ms) == pytest.approx([100])


async def test_a_late_end_of_the_invocation_before_does_not_end_this_one(autojump_clock: MockClock) -> None:
    async with open_world("end") as world:
        await world.invoke("r1")
        world.done("r1")
        await world.invoke("r2")
        world.done("r1")
        await trio.sleep(1)
        assert world.kinds == [FlushKind.BLOCKING]
        world.done("r2")
        await world.source.asked.wait()
        assert world.kinds == [FlushKind.BLOCKING] * 2


async def test_an_end_told_before_invoke_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with open_world("end") as world:
        world.done("r1")
        await world.invoke("r1")
        with trio.fail_after(0.5):
            await world.source.asked.wait()


async def test_a_flush_adds_no_more_than_the_ceiling(autojump_clock: MockClock) -> None:
    async with open_world("end", flush_s=60, max_added_s=2) as world:
        await world.invoke("r1")
        ended = trio.current_time()
        world.done("r1")
        await world.source.asked.wait()
        assert trio.current_time() - ended == pytest.approx(2)


async def test_a_crash_is_not_followed_by_a_wait_as_the_time_for_the_shutdown_runs_already(
    autojump_clock: MockClock,
) -> None:
    async with open_world("end", flush_s=10) as world:
        await world.invoke("r1")
        await trio.sleep(1)
        world.done("r1", status="error", error_type="Runtime.ExitError")
        await trio.testing.wait_all_tasks_blocked()
        assert world.source.asked_at[-1] == trio.current_time()
        assert world.kinds == [FlushKind.BACKGROUND]


async def test_a_crash_ends_the_wait_for_a_flush(autojump_clock: MockClock) -> None:
    async with open_world("periodically,100", flush_s=10) as world:
        await trio.sleep(1)
        await world.invoke("r1")
        await trio.sleep(0.5)
        assert world.kinds == [FlushKind.BLOCKING]
        world.done("r1", status="error", error_type="Runtime.ExitError")
        await trio.testing.wait_all_tasks_blocked()
        assert world.source.asked_at[-1] == trio.current_time()
        assert world.kinds == [FlushKind.BLOCKING, FlushKind.BACKGROUND]


async def test_a_crash_told_before_its_invoke_is_one_all_the_same(autojump_clock: MockClock) -> None:
    async with open_world("end", flush_s=10) as world:
        await world.source.asked.wait()
        world.tracker.observe(Start(request_id="r1", time_ns=1))
        world.done("r1", status="error", error_type="Runtime.ExitError")
        await world.invoke("r1")
        assert world.source.asked_at[-1] == trio.current_time()
        assert world.kinds == [FlushKind.BACKGROUND]


async def test_a_failed_handler_and_a_life_before_this_one_end_no_sandbox(autojump_clock: MockClock) -> None:
    async with open_world("end", flush_s=1) as world:
        await world.invoke("r1")
        world.done("of the life before", status="timeout")
        world.done("r1", status="error", error_type="Runtime.Unknown")
        await trio.testing.wait_all_tasks_blocked()
        assert world.kinds == [FlushKind.BLOCKING]
        await world.source.asked.wait()
        assert list(world.mode.added_ms) == pytest.approx([1000])


async def test_a_sandbox_that_outlives_its_reset_is_flushed_as_before(autojump_clock: MockClock) -> None:
    async with open_world("end", flush_s=1) as world:
        await world.invoke("r1")
        world.done("r1", status="failure")
        await world.invoke("r2")
        await trio.sleep(3)
        world.done("r2")
        await world.source.asked.wait()
        assert world.kinds == [FlushKind.BACKGROUND, FlushKind.BLOCKING]


@pytest.mark.parametrize("strategy", ["end", "periodically,800"])
@pytest.mark.parametrize("max_added_s", [0, 0.001])
async def test_where_no_time_may_be_added_data_leaves_while_nobody_waits(
    autojump_clock: MockClock, strategy: str, max_added_s: float
) -> None:
    async with open_world(strategy, max_added_s=max_added_s) as world:
        for request_id in ("r1", "r2"):
            await trio.sleep(1)
            await world.invoke(request_id)
            await trio.sleep(0.5)
            ended = trio.current_time()
            world.done(request_id)
            await world.source.asked.wait()
            assert trio.current_time() == ended
        await trio.testing.wait_all_tasks_blocked()
        assert world.kinds == [FlushKind.BACKGROUND, FlushKind.BACKGROUND]


async def test_a_library_that_flushes_where_no_time_may_be_added_is_answered_at_once(
    autojump_clock: MockClock,
) -> None:
    async with open_world("end", max_added_s=0) as world:
        await world.invoke("r1")
        began = trio.current_time()
        await world.mode.flush_at_end()
        assert trio.current_time() == began
        await trio.testing.wait_all_tasks_blocked()
        assert world.kinds[0] is FlushKind.BACKGROUND


async def test_a_flush_near_the_deadline_leaves_time_to_ask(autojump_clock: MockClock) -> None:
    async with open_world("end", flush_s=60) as world:
        await world.invoke("r1", timeout_s=1.0)
        world.done("r1")
        began = trio.current_time()
        await world.source.asked.wait()
        assert trio.current_time() - began == pytest.approx(0.7)


async def test_a_function_that_times_out_has_its_data_flushed_before_and_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    async with open_world("end") as world:
        await world.invoke("r1", timeout_s=10)
        began = trio.current_time()
        await world.source.asked.wait()
        assert trio.current_time() - began == pytest.approx(9.7)
        (kind, at) = world.pipeline.flushes[0]
        assert kind is FlushKind.BACKGROUND
        assert at - began == pytest.approx(8.5)


async def test_without_telemetry_nobody_waits_and_data_leaves_all_the_same(autojump_clock: MockClock) -> None:
    async with open_world("end", has_telemetry=False) as world:
        await world.invoke("r1")
        with trio.fail_after(0.1):
            await world.source.asked.wait()
        await trio.sleep(5)
        assert set(world.kinds) == {FlushKind.BACKGROUND}
        assert len(world.kinds) >= 4


async def test_a_platform_that_says_nothing_is_waited_for_no_longer_than_a_second(autojump_clock: MockClock) -> None:
    async with open_world("end", says_start=False) as world:
        await world.invoke("r1", timeout_s=900)
        began = trio.current_time()
        await world.source.asked.wait()
        assert trio.current_time() - began == pytest.approx(1.0)


async def test_after_a_missed_end_the_next_invocations_are_not_waited_for_until_it_is_tried_again(
    autojump_clock: MockClock,
) -> None:
    async with open_world("end", says_start=False) as world:
        waits: list[float] = []
        for number in range(12):
            await world.invoke(f"r{number}", timeout_s=900)
            began = trio.current_time()
            await world.source.asked.wait()
            waits.append(round(trio.current_time() - began, 1))
        assert waits == [1.0, *[0.0] * 10, 1.0]


async def test_a_function_that_works_until_its_deadline_costs_the_next_invocations_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_last", {})
    async with open_world("end") as world:
        for number in range(3):
            await world.invoke(f"slow{number}", timeout_s=3)
            await world.source.asked.wait()
            world.done(f"slow{number}")
        await world.invoke("r1", timeout_s=3)
        await trio.sleep(0.3)
        assert not world.source.asked.is_set()
        world.done("r1")
        await world.source.asked.wait()
        assert world.kinds[-1] is FlushKind.BLOCKING
    assert "end_of_invocation_not_seen" not in caplog.text


async def test_an_end_told_after_the_next_invocation_began_costs_nothing_either(autojump_clock: MockClock) -> None:
    async with open_world("end") as world:
        await world.invoke("slow", timeout_s=3)
        await world.source.asked.wait()
        await world.invoke("r1", timeout_s=3)
        world.done("slow")
        assert not world.source.asked.is_set()
        world.done("r1")
        await world.source.asked.wait()
        assert world.kinds[-1] is FlushKind.BLOCKING


async def test_a_platform_that_tells_beginnings_and_no_ends_is_found_out_at_the_second(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_last", {})
    async with open_world("end") as world:
        waits: list[float] = []
        for number in range(14):
            await world.invoke(f"r{number}", timeout_s=3)
            began = trio.current_time()
            await world.source.asked.wait()
            waits.append(round(trio.current_time() - began, 1))
        assert waits == [2.7, 2.7, *[0.0] * 10, 2.7, 0.0]
    assert "end_of_invocation_not_seen" in caplog.text


async def test_periodically_flushes_at_the_start_when_the_interval_has_passed(autojump_clock: MockClock) -> None:
    async with open_world("periodically,10000") as world:
        await world.invoke("r1")
        with trio.fail_after(0.1):
            await world.source.asked.wait()
        assert not world.pipeline.flushes
        world.done("r1")
        await trio.sleep(10)
        await world.invoke("r2")
        await world.source.asked.wait()
        assert FlushKind.BLOCKING in world.kinds


async def test_continuously_does_not_wait_for_its_flush(autojump_clock: MockClock) -> None:
    async with open_world("continuously,1000", flush_s=5) as world:
        world.tracker.observe(RuntimeDone(request_id="r0"))
        await trio.sleep(1)
        await world.invoke("r1")
        with trio.fail_after(0.1):
            await world.source.asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert world.kinds == [FlushKind.BACKGROUND]


@pytest.mark.parametrize("strategy", ["end,1000", "periodically,1000", "continuously,1000"])
async def test_a_long_invocation_is_flushed_within(autojump_clock: MockClock, strategy: str) -> None:
    async with open_world(strategy) as world:
        await world.invoke("r1", timeout_s=300)
        await trio.sleep(30)
        within = [kind for kind, _ in world.pipeline.flushes if kind is FlushKind.BACKGROUND]
        assert len(within) >= 20
        world.done("r1")
        await trio.testing.wait_all_tasks_blocked()


async def test_nothing_is_flushed_while_no_invocation_runs(autojump_clock: MockClock) -> None:
    async with open_world("end,1000") as world:
        await world.invoke("r1")
        world.done("r1")
        await world.source.asked.wait()
        flushed = len(world.kinds)
        await trio.sleep(3600)
        assert len(world.kinds) == flushed


async def test_an_endpoint_in_trouble_is_probed_while_the_function_runs(autojump_clock: MockClock) -> None:
    async with open_world("end", is_in_trouble=lambda: True) as world:
        await world.invoke("r1")
        assert world.kinds == [FlushKind.BACKGROUND]
        world.done("r1")
        await world.source.asked.wait()


async def test_a_library_that_flushes_ends_the_wait(autojump_clock: MockClock) -> None:
    async with open_world("end") as world:
        await world.invoke("r1")
        await world.mode.flush_at_end()
        await world.source.asked.wait()
        assert world.kinds[0] is FlushKind.BLOCKING
