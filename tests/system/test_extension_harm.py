"""The agent can be killed, hung or fed garbage: the function's answers stay what they are."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import trio

from ddx_agent.local.faults import AgentSignal, Faults, Target
from tests.support.extension_world import World, open_world

pytestmark = pytest.mark.system


async def test_the_agent_killed_in_mid_invocation_changes_no_answer_and_is_replaced(tmp_path: Path) -> None:
    faults = Faults(agent_signals=(AgentSignal(signal=signal.SIGKILL, invocation=2, after_ms=100),))
    async with open_world(tmp_path, faults=faults) as world:
        await world.tell("i0", lines=2, spans=2)
        result = await world.tell("i1", lines=2, sleep=0.6)
        assert result.status == "success"
        assert result.overhead_ms < 3000
        await world.tell("i2", lines=2, spans=2)
        await world.end()
        assert world.lines_of("i0") == ["i0 line 0", "i0 line 1"]
        assert world.lines_of("i2") == ["i2 line 0", "i2 line 1"]
        assert any("died (signal 9)" in log.message for log in world.intake.store.logs(contains="DD_EXTENSION"))
        (life,) = world.platform.life_ends
        assert [exit.code for exit in life.exits if exit.name == "datadog-agent"] == [0]


async def test_the_agent_hung_in_mid_invocation_changes_no_answer(tmp_path: Path) -> None:
    faults = Faults(agent_signals=(AgentSignal(signal=signal.SIGSTOP, invocation=2, after_ms=100),))
    async with open_world(tmp_path, faults=faults) as world:
        await world.tell("i0", lines=2)
        result = await world.tell("i1", sleep=0.3)
        assert result.status == "success"
        assert result.overhead_ms < 3500, "the keeper asks for a silent agent"
        for number in range(2, 5):
            assert (await world.tell(f"i{number}", sleep=0.2)).status == "success"
        await world.end()


async def test_the_agent_killed_between_invocations_costs_nothing_but_what_it_held(tmp_path: Path) -> None:
    async with open_world(tmp_path, freeze=False) as world:
        await world.tell("i0", lines=2)
        agent = agent_pid(world)
        os.kill(agent, signal.SIGKILL)
        await world.tell("i1", lines=2)
        await world.tell("i2", lines=2)
        await world.end()
        assert len(world.lines_of("i0")) == 2
        assert len(world.lines_of("i2")) == 2


async def test_the_keeper_killed_ends_the_life_as_lambda_would_and_the_next_one_works(tmp_path: Path) -> None:
    faults = Faults(agent_signals=(AgentSignal(signal=signal.SIGKILL, invocation=1, after_ms=50, target=Target.ALL),))
    async with open_world(tmp_path, faults=faults) as world:
        result = await world.platform.invoke({"id": "i0", "sleep": 0.5})
        assert result.error_type == "Extension.Crash"
        await world.tell("i1", lines=1)
        await world.end()
        assert world.lines_of("i1") == ["i1 line 0"]


def agent_pid(world: World) -> int:
    """The process that has the trace agent's port and is nobody's parent."""
    children: list[tuple[int, int]] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            environ = (entry / "environ").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"extension" in command and f"DD_APM_RECEIVER_PORT={world.ports['traces']}".encode() in environ:
            children.append((int(entry.name), parent))
    parents = {parent for _, parent in children}
    (agent,) = [pid for pid, _ in children if pid not in parents]
    return agent


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


async def send_and_hang_up(port: int, data: bytes, *, reset: bool) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    if reset:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with stream:
        with trio.move_on_after(2):
            try:
                await stream.send_all(data)
                await stream.receive_some(4096)
            except trio.BrokenResourceError:
                return


def garbage(seed: int) -> list[bytes]:
    chance = random.Random(seed)
    return [
        chance.randbytes(chance.randint(1, 5000)),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v0.4/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n\xdd\xff\xff\xff\xff\xdf\xff\xff\xff",
        b"POST /lambda/start-invocation HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\xff\xfe{[",
        b"\r\n" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]


async def test_garbage_on_every_port_harms_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, freeze=False) as world:
        await world.tell("i0", lines=5, metrics=20, spans=10)
        agent = agent_pid(world)
        before = resident_mb(agent)
        async with trio.open_nursery() as nursery:
            for purpose in ("lifecycle", "traces", "telemetry"):
                for seed in range(5):
                    for number, data in enumerate(garbage(seed)):
                        nursery.start_soon(send_and_hang_up_with, world.ports[purpose], data, number % 2 == 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            chance = random.Random(1)
            for _ in range(500):
                sock.sendto(chance.randbytes(chance.randint(0, 2000)), ("127.0.0.1", world.ports["statsd"]))
        await world.tell("i1", lines=5, metrics=20, spans=10)
        await world.tell("i2", lines=5, metrics=20, spans=10)
        assert agent_pid(world) == agent, "the agent must have lived through it"
        assert resident_mb(agent) - before < 16
        await world.end()
        for number in range(3):
            assert len(world.lines_of(f"i{number}")) == 5
            sketches = world.intake.store.sketches(name=f"i{number}.values")
            assert sum(each.sketch.cnt for each in sketches if each.sketch) == 20
        assert len(world.intake.store.spans(name="work")) == 30
        world.account("metrics")


async def send_and_hang_up_with(port: int, data: bytes, reset: bool) -> None:
    await send_and_hang_up(port, data, reset=reset)


async def test_bodies_of_100_mb_leave_the_memory_flat(tmp_path: Path) -> None:
    async with open_world(tmp_path, freeze=False) as world:
        await world.tell("i0", lines=1)
        agent = agent_pid(world)
        before = resident_mb(agent)

        async def body() -> AsyncGenerator[bytes]:
            for _ in range(100):
                yield b"x" * (1 << 20)

        async with httpx.AsyncClient(timeout=30) as client:
            for purpose, path in (
                ("traces", "/v0.6/stats"),
                ("lifecycle", "/lambda/end-invocation"),
                ("telemetry", "/"),
                ("lifecycle", "/lambda/flush"),
            ):
                try:
                    answer = await client.post(f"http://127.0.0.1:{world.ports[purpose]}{path}", content=body())
                    assert answer.status_code in (200, 413), (path, answer)
                except httpx.TransportError:
                    pass  # closed while we were still sending: as good an answer as 413
        assert resident_mb(agent) - before < 24
        await world.tell("i1", lines=1)
        await world.end()
        assert len(world.lines_of("i1")) == 1


async def test_slow_clients_do_not_hold_others_up(tmp_path: Path) -> None:
    async with open_world(tmp_path, freeze=False) as world:
        await world.tell("i0", lines=1)
        slow: list[trio.SocketStream] = []
        for purpose in ("traces", "lifecycle", "telemetry"):
            for _ in range(20):
                stream = await trio.open_tcp_stream("127.0.0.1", world.ports[purpose])
                await stream.send_all(b"POST /v0.4/traces HTTP/1.1\r\nContent-Length: 50\r\nX-Sl")
                slow.append(stream)
        result = await world.tell("i1", lines=3, spans=5)
        assert result.response_ms < 3000
        await world.tell("i2", lines=3, spans=5)
        await world.end()
        for stream in slow:
            await trio.aclose_forcefully(stream)
        assert len(world.lines_of("i1")) == 3
        assert len(world.intake.store.spans(name="work")) == 10


async def test_a_flood_while_the_intake_is_down_stays_within_bounds_and_the_accounts_close(tmp_path: Path) -> None:
    settings = {"DDX_LOGS_BUFFER_BYTES": "262144", "DDX_QUEUE_BYTES": "65536", "DDX_TRACES_BUFFER_BYTES": "262144"}
    async with open_world(tmp_path, freeze=False, settings=settings) as world:
        await world.intake.down()
        for number in range(4):
            await world.tell(f"i{number}", lines=3000, metrics=500, spans=4000)
        await world.end()
        logs = world.account("logs")
        lost = sum(amount["items"] for amount in logs["dropped"].values())
        assert logs["accepted"]["items"] >= 12_000
        assert lost + logs["held"]["items"] == logs["accepted"]["items"]
        world.account("traces")
        world.account("metrics")
