"""A life of the extension from cold start to shutdown, and the faults of its surroundings that must not show in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx
import pytest
import trio

from ddx_agent.local.faults import Faults
from ddx_agent.testing import Function, Limits, open_local
from tests.support.extension_world import World, open_world

pytestmark = pytest.mark.system


async def three_invocations(world: World) -> None:
    for number in range(3):
        await world.tell(f"i{number}", lines=5, metrics=20, spans=10)
    await world.end()


def assert_all_told_arrived(world: World, invocations: int = 3) -> None:
    for number in range(invocations):
        assert world.lines_of(f"i{number}") == [f"i{number} line {line}" for line in range(5)]
        assert len(world.intake.store.spans(name="work")) == invocations * 10
        (sketch,) = [
            each.sketch for each in world.intake.store.sketches(name=f"i{number}.values") if each.sketch is not None
        ]
        assert (sketch.cnt, sketch.sum) == (20, sum(range(20)))


async def test_everything_a_function_tells_arrives_once(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await three_invocations(world)
        assert_all_told_arrived(world)
        world.assert_everything_arrived_once()
        (life,) = world.platform.life_ends
        assert [exit.code for exit in life.exits if exit.name == "datadog-agent"] == [0]


async def test_an_init_that_fails_at_once_leaves_what_was_sent_and_its_lines_are_not_lost_in_silence(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(
        f"""#!{sys.executable} -S
import os, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(b"before.the.end:1|c", ("127.0.0.1", int(os.environ["DD_DOGSTATSD_PORT"])))
print("import failed", flush=True)
os._exit(1)
"""
    )
    bootstrap.chmod(0o755)
    function = Function(folder=tmp_path, name="failing", handler="bootstrap", runtime="bootstrap")
    with trio.fail_after(60):
        async with open_local(
            function, cpu_share=False, limits=Limits(shutdown_s=20), on_line=lambda _, line: said.append(line)
        ) as local:
            assert (await local.invoke()).function_error
            await local.finish()
            points = local.intake.store.metrics(name="before.the.end")
            # The init of the invocation comes after that of the environment.
            assert sum(point.value or 0 for point in points) == 2
            told = [line for line in said if "telemetry_not_subscribed" in line]
            assert len(told) + len(local.intake.store.logs(contains="import failed")) >= 2


async def test_lines_carry_the_request_id_of_their_invocation(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        results = {id: await world.tell(id, lines=2) for id in ("a", "b")}
        await world.end()
        for id, result in results.items():
            logs = world.intake.store.logs(contains=f"{id} line")
            assert {log.request_id for log in logs} == {result.request_id}
        report = world.intake.store.logs(contains="REPORT RequestId")
        assert {log.request_id for log in report} == {result.request_id for result in results.values()}


async def test_enhanced_metrics_count_each_invocation_and_the_cold_start_once(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await three_invocations(world)
        store = world.intake.store
        invocations = store.sketches(name="aws.lambda.enhanced.invocations")
        assert sum(each.sketch.cnt for each in invocations if each.sketch) == 3
        cold = store.sketches(name="aws.lambda.enhanced.invocations", tag="cold_start:true")
        assert sum(each.sketch.cnt for each in cold if each.sketch) == 1
        assert not store.sketches(name="aws.lambda.enhanced.errors")
        for name in (
            "duration",
            "billed_duration",
            "runtime_duration",
            "max_memory_used",
            "memorysize",
            "init_duration",
        ):
            assert store.sketches(name=f"aws.lambda.enhanced.{name}"), name


async def test_a_crash_is_one_error_and_the_next_life_works(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.tell("i0", lines=1)
        result = await world.platform.invoke({"id": "boom", "lines": 1, "crash": True})
        assert result.function_error
        await world.tell("i1", lines=1)
        await world.end()
        errors = world.intake.store.sketches(name="aws.lambda.enhanced.errors")
        assert sum(each.sketch.cnt for each in errors if each.sketch) == 1
        assert world.lines_of("boom") == ["boom line 0"]
        assert world.lines_of("i1") == ["i1 line 0"]
        assert len(world.documents()) == 2


async def test_a_timeout_is_counted_and_its_lines_arrive(tmp_path: Path) -> None:
    async with open_world(tmp_path, timeout_s=2.0) as world:
        result = await world.platform.invoke({"id": "late", "lines": 3, "metrics": 5, "spans": 2, "sleep": 30})
        assert result.status == "timeout"
        await world.tell("i1", lines=1)
        await world.end()
        assert world.lines_of("late") == [f"late line {line}" for line in range(3)]
        timeouts = world.intake.store.sketches(name="aws.lambda.enhanced.timeouts")
        assert sum(each.sketch.cnt for each in timeouts if each.sketch) == 1
        assert len(world.intake.store.spans(name="work")) == 2


@pytest.mark.parametrize(
    "faults",
    [
        Faults(telemetry_delay_ms=300),
        Faults(duplicate_batches=2),
        Faults(split_batches=1),
        Faults(
            inject_events=(
                b'{"time":"x","type":"platform.start","record":{}}',
                b'"nonsense"',
                b'{"type":"platform.new"}',
            )
        ),
        Faults(garbage_batches=3),
        Faults(hold_past_next_invoke=("platform.runtimeDone",)),
        Faults(hold_past_next_invoke=("platform.start", "platform.initStart", "function")),
        Faults(invoke_delay_ms=150),
    ],
    ids=["delayed", "duplicated", "split", "malformed_events", "garbage", "late_end", "late_start", "late_invoke"],
)
async def test_telemetry_may_come_as_it_likes(tmp_path: Path, faults: Faults) -> None:
    async with open_world(tmp_path, faults=faults, timeout_s=3.0) as world:
        await three_invocations(world)
        assert_all_told_arrived(world)
        world.assert_everything_arrived_once()


async def test_without_telemetry_nothing_waits_and_what_can_be_had_arrives(tmp_path: Path) -> None:
    async with open_world(tmp_path, faults=Faults(telemetry_unsupported=True)) as world:
        for number in range(3):
            result = await world.tell(f"i{number}", metrics=20, spans=10)
            assert result.overhead_ms < 500
        await world.end()
        assert len(world.intake.store.spans(name="work")) == 30
        for number in range(3):
            sketches = world.intake.store.sketches(name=f"i{number}.values")
            assert sum(each.sketch.cnt for each in sketches if each.sketch) == 20


@pytest.mark.parametrize("purpose", ["lifecycle", "statsd", "traces", "telemetry"])
async def test_a_taken_port_costs_that_port_alone(tmp_path: Path, purpose: str) -> None:
    async with open_world(tmp_path, taken=(purpose,)) as world:
        for number in range(2):
            result = await world.platform.invoke({"id": f"i{number}", "lines": 2, "metrics": 3})
            assert result.function_error is None
        await world.end()
        (document,) = world.documents()
        assert any(f"port {world.ports[purpose]} " in trouble for trouble in document["troubles"])
        if purpose != "telemetry":
            assert world.lines_of("i1") == ["i1 line 0", "i1 line 1"]
        if purpose != "statsd":
            assert world.intake.store.sketches(name="i1.values")


async def test_the_status_page_shows_the_accounts(tmp_path: Path) -> None:
    async with open_world(tmp_path, freeze=False) as world:
        await world.tell("i0", lines=3, spans=2)
        async with httpx.AsyncClient() as client:
            base = f"http://127.0.0.1:{world.ports['lifecycle']}"
            status = (await client.get(f"{base}/ddx/status")).json()
            assert status["signals"]["traces"]["delivered"]["items"] == 2
            assert all(account["closes"] for account in status["signals"].values())
            assert status["invocations"]["seen"] == 1
            assert "0123456789abcdef" not in json.dumps(status)
            assert (await client.get(f"{base}/lambda/hello")).json() == {}
            assert (await client.post(f"{base}/lambda/start-invocation", content=b"{}")).json() == {}
            assert (await client.post(f"{base}/lambda/end-invocation", content=b"{}")).json() == {}
            assert (await client.post(f"{base}/lambda/flush")).json() == {}
            assert (await client.get(f"{base}/nothing")).status_code == 404
            assert (await client.get(f"{base}/lambda/flush")).status_code == 405


@pytest.mark.parametrize("strategy", ["periodically,100", "continuously,100", "end,100", "default"])
async def test_every_strategy_delivers_everything_in_the_end(tmp_path: Path, strategy: str) -> None:
    async with open_world(tmp_path, settings={"DD_SERVERLESS_FLUSH_STRATEGY": strategy}) as world:
        for number in range(3):
            await world.tell(f"i{number}", lines=5, metrics=20, spans=10, sleep=0.2)
        await world.end()
        world.assert_everything_arrived_once()
        for number in range(3):
            assert len(world.lines_of(f"i{number}")) == 5


async def test_a_long_freeze_between_invocations_loses_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.tell("i0", lines=5, metrics=20, spans=10)
        # Longer than connections are kept for reuse on either side.
        await trio.sleep(6)
        await world.tell("i1", lines=5, metrics=20, spans=10)
        await trio.sleep(6)
        await world.tell("i2", lines=5, metrics=20, spans=10)
        await world.end()
        assert_all_told_arrived(world)
        world.assert_everything_arrived_once()
