"""Intakes that are down, slow, rude or forgetful: nothing is lost, little is waited, the accounts say what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from ddx_agent.testing import hang, reset, reset_after_read, slow, status, truncated
from tests.support.extension_world import World, open_world

pytestmark = pytest.mark.system

kinds = ("logs", "series", "sketches", "traces")


def assert_three_arrived(world: World) -> None:
    for number in range(3):
        assert world.lines_of(f"i{number}") == [f"i{number} line {line}" for line in range(5)]
    assert len(world.intake.store.spans(name="work")) == 30
    for number in range(3):
        sketches = world.intake.store.sketches(name=f"i{number}.values")
        assert sum(each.sketch.cnt for each in sketches if each.sketch) == 20


async def tell(world: World, number: int) -> float:
    result = await world.tell(f"i{number}", lines=5, metrics=20, spans=10)
    return result.overhead_ms


async def test_an_intake_down_for_whole_invocations_gets_everything_once_when_it_is_back(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.intake.down()
        await tell(world, 0)
        await tell(world, 1)
        await world.intake.up()
        await tell(world, 2)
        await world.end()
        assert_three_arrived(world)
        world.assert_everything_arrived_once()


async def test_one_endpoints_trouble_does_not_touch_the_others(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings={"DD_APM_DD_URL": "http://127.0.0.1:1"}) as world:
        for number in range(3):
            await tell(world, number)
        await world.end()
        for number in range(3):
            assert len(world.lines_of(f"i{number}")) == 5
        assert world.account("traces")["held"]["items"] == 30
        assert world.account("logs")["held"]["items"] == 0


@pytest.mark.parametrize(
    "answers",
    [
        [503, 503, 503],
        [429],
        [status(429, retry_after=1)],
        [408, 500, 502],
        [reset, reset],
        [slow(0.5)],
        [503, reset, slow(0.3), 202],
    ],
    ids=["503", "429", "retry_after", "mixed_statuses", "reset", "slow", "everything"],
)
async def test_passing_trouble_of_every_signal_is_retried(tmp_path: Path, answers: list[Any]) -> None:
    async with open_world(tmp_path) as world:
        for kind in kinds:
            world.intake.script.add(kind, *answers)
        for number in range(3):
            await tell(world, number)
        await trio.sleep(1.2)
        await world.end()
        assert_three_arrived(world)
        world.assert_everything_arrived_once()


async def test_an_intake_slower_than_the_bound_gets_nothing_twice(tmp_path: Path) -> None:
    settings = {"DDX_MAX_ADDED_SECONDS": "0.2", "DD_SERVERLESS_FLUSH_STRATEGY": "end"}
    async with open_world(tmp_path, settings=settings) as world:
        for kind in kinds:
            world.intake.script.add(kind, *[slow(0.6)] * 3)
        for number in range(3):
            assert await tell(world, number) < 600
            await trio.sleep(1.0)
        await world.end()
        assert_three_arrived(world)
        world.assert_everything_arrived_once()


async def test_a_pause_that_the_intake_asks_for_is_not_spent_on_the_functions_time(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.intake.script.replace([status(429, retry_after="30")] * 4)
        overheads = [await tell(world, number) for number in range(3)]
        await world.end()
        assert_three_arrived(world)
        world.assert_everything_arrived_once()
        assert max(overheads) < 1000


async def test_a_pause_within_a_long_invocation_does_not_lengthen_its_end(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings={"DD_SERVERLESS_FLUSH_STRATEGY": "end,200"}) as world:
        for kind in kinds:
            world.intake.script.add(kind, status(429, retry_after=10))
        result = await world.tell("i0", lines=5, metrics=20, spans=10, sleep=1.5)
        assert result.overhead_ms < 1000
        await world.end()
        assert len(world.lines_of("i0")) == 5
        world.assert_everything_arrived_once()


@pytest.mark.parametrize("answer", [reset_after_read, truncated], ids=["reply_lost", "reply_cut"])
async def test_a_lost_reply_is_the_one_case_of_a_repeat_and_it_is_counted(tmp_path: Path, answer: Any) -> None:
    async with open_world(tmp_path) as world:
        world.intake.script.add("logs", answer)
        for number in range(3):
            await tell(world, number)
        await world.end()
        account = world.account("logs")
        repeated = sum(repeat.times - 1 for repeat in world.intake.store.repeats() if repeat.what == "log")
        assert account["held"]["items"] == 0
        assert account["maybe_twice"]["items"] >= repeated
        for number in range(3):
            assert len(set(world.lines_of(f"i{number}"))) == 5


async def test_a_refusal_for_good_costs_that_payload_alone(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.intake.script.add("logs", 400)
        for number in range(3):
            await tell(world, number)
        await world.end()
        account = world.account("logs")
        assert account["dropped"]["refused_400"]["items"] > 0
        assert account["held"]["items"] == 0
        assert len(world.lines_of("i2")) == 5
        assert len(world.intake.store.spans(name="work")) == 30


async def test_a_payload_that_is_too_large_is_sent_in_parts(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for kind in kinds:
            world.intake.script.add(kind, 413)
        for number in range(3):
            await tell(world, number)
        await world.end()
        assert_three_arrived(world)
        world.assert_everything_arrived_once()


async def test_a_hanging_intake_adds_no_more_than_the_ceiling_and_soon_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings={"DDX_MAX_ADDED_SECONDS": "0.5"}) as world:
        for kind in kinds:
            world.intake.script.add(kind, *[hang] * 40)
        added = [await tell(world, number) for number in range(3)]
        later = [(await world.tell(f"x{number}", sleep=0.05)).overhead_ms for number in range(3)]
        assert max(added) < 1500
        assert sum(added) > 400
        assert max(later) < 400, "the breaker must be open by now"
        world.intake.script.clear()


async def test_an_intake_that_hangs_at_shutdown_does_not_hold_it_up(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for kind in kinds:
            world.intake.script.add(kind, *[hang] * 40)
        await tell(world, 0)
        with trio.fail_after(4):
            await world.end()
        (life,) = world.platform.life_ends
        assert [exit.code for exit in life.exits if exit.name == "datadog-agent"] == [0]
        for signal in ("logs", "traces", "metrics"):
            account = world.account(signal)
            assert account["held"]["items"] > 0
            assert account["delivered"]["items"] == 0
        world.intake.script.clear()


async def test_what_a_timed_out_life_could_not_send_is_sent_by_the_next(tmp_path: Path) -> None:
    async with open_world(tmp_path, timeout_s=3.0) as world:
        await world.intake.down()
        await tell(world, 0)
        result = await world.platform.invoke({"id": "late", "sleep": 30})
        assert result.status == "timeout"
        spooled = world.account("logs", life=0)["spooled"]["items"]
        assert spooled > 0
        assert list((tmp_path / "spool").iterdir())
        await world.intake.up()
        await tell(world, 1)
        await world.end()
        assert world.lines_of("i0") == [f"i0 line {line}" for line in range(5)]
        assert len(world.intake.store.spans(name="work")) == 20
        assert not list((tmp_path / "spool").iterdir())


async def test_what_a_crashed_life_could_not_send_is_sent_by_the_next_though_the_intake_hangs(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for kind in kinds:
            world.intake.script.add(kind, *[hang] * 40)
        result = await world.platform.invoke({"id": "i0", "lines": 5, "metrics": 20, "spans": 10, "crash": True})
        assert result.error_type == "Runtime.ExitError"
        (life,) = world.platform.life_ends
        assert [exit.code for exit in life.exits if exit.name == "datadog-agent"] == [0], "it was not killed"
        world.intake.script.clear()
        await tell(world, 1)
        await world.end()
        assert world.lines_of("i0") == [f"i0 line {line}" for line in range(5)]
        assert len(world.intake.store.spans(name="work")) == 20
        sketches = world.intake.store.sketches(name="i0.values")
        assert sum(each.sketch.cnt for each in sketches if each.sketch) == 20


async def test_a_refused_key_is_told_once_and_harms_nobody(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for kind in kinds:
            world.intake.script.add(kind, *[403] * 10)
        result = await world.tell("i0", lines=2, metrics=2, spans=2)
        assert result.overhead_ms < 1500
        await world.end()
        assert any("refused_403" in world.account(signal)["dropped"] for signal in ("logs", "traces"))
        world.intake.script.clear()


async def test_without_a_key_everything_waits(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings={"DD_API_KEY": ""}) as world:
        result = await world.tell("i0", lines=2, metrics=2, spans=2)
        assert result.overhead_ms < 500
        await world.end()
        assert not world.intake.store.requests()
        assert world.account("traces")["held"]["items"] == 2
