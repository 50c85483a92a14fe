"""The agent's process without its keeper: what a failing signal costs, and that a start-up which fails says so."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ddx_agent import extension
from ddx_agent.bootstrap import Boot
from ddx_agent.testing import Intake, open_intake
from ddx_core import log
from ddx_core.pipeline import Pipeline
from ddx_logs.pipeline import LogsPipeline
from ddx_metrics.pipeline import MetricsPipeline
from ddx_traces.pipeline import TracesPipeline
from tests.support.stand_in import StandIn, open_stand_in

pipelines: dict[str, type[Pipeline]] = {"logs": LogsPipeline, "metrics": MetricsPipeline, "traces": TracesPipeline}


@pytest.fixture(autouse=True)
def own_log_left_as_it_was() -> Iterator[None]:
    handlers, propagate, level = log.logger.handlers, log.logger.propagate, log.logger.level
    yield
    log.logger.handlers, log.logger.propagate = handlers, propagate
    log.logger.setLevel(level)


def bound(kind: socket.SocketKind) -> Any:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind is socket.SOCK_STREAM:
        sock.listen()
    return sock


class Keeper:
    """Plays the keeper on the other end of the link."""

    def __init__(self, link: socket.socket) -> None:
        self._link = trio.socket.from_stdlib_socket(link)

    async def send(self, frame: bytes) -> None:
        await self._link.send(frame)

    async def asked(self) -> None:
        """Until the agent asks for the next event."""
        while await self._link.recv(4096) != b"N":
            pass

    async def invoke(self, request_id: str) -> None:
        event = {"eventType": "INVOKE", "requestId": request_id, "deadlineMs": 0}
        await self.send(b"E" + json.dumps(event).encode())

    async def shutdown(self) -> None:
        with suppress(OSError, trio.ClosedResourceError):
            await self.send(b'E{"eventType":"SHUTDOWN","shutdownReason":"SPINDOWN","deadlineMs":0}')

    def close(self) -> None:
        self._link.close()


class World:
    def __init__(self, boot: Boot, keeper: Keeper, lambda_: StandIn, intake: Intake, accounts: Path) -> None:
        self.boot = boot
        self.keeper = keeper
        self.lambda_ = lambda_
        self.intake = intake
        self._accounts = accounts

    def port(self, purpose: str) -> int:
        return self.boot.sockets[purpose].getsockname()[1]

    async def telemetry(self, *events: tuple[str, Any]) -> None:
        batch = [{"time": "2026-01-01T00:00:00.000Z", "type": kind, "record": record} for kind, record in events]
        body = json.dumps(batch).encode()
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        stream = await trio.open_tcp_stream("127.0.0.1", self.port("telemetry"))
        async with stream:
            await stream.send_all(head + body)
            assert b" 200 " in await stream.receive_some(4096)

    def account(self, signal: str) -> dict[str, Any]:
        return json.loads(self._accounts.read_text())["signals"][signal]


@asynccontextmanager
async def open_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, started_s_ago: int = 0, **settings: str
) -> AsyncGenerator[World]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    boot = Boot()
    boot.started_ns -= started_s_ago * 1_000_000_000
    boot.link = theirs
    boot.sockets = {
        "lifecycle": bound(socket.SOCK_STREAM),
        "telemetry": bound(socket.SOCK_STREAM),
        "traces": bound(socket.SOCK_STREAM),
        "dogstatsd": bound(socket.SOCK_DGRAM),
    }
    with trio.fail_after(20):
        async with open_intake() as intake, open_stand_in() as lambda_:
            accounts = tmp_path / "accounts.jsonl"
            for name, value in {
                "AWS_LAMBDA_RUNTIME_API": lambda_.address,
                "AWS_LAMBDA_FUNCTION_NAME": "orders",
                "DD_API_KEY": "k" * 32,
                "DD_DD_URL": intake.url,
                "DD_LOGS_CONFIG_LOGS_DD_URL": intake.url,
                "DD_APM_DD_URL": intake.url,
                "DD_SERVERLESS_FLUSH_STRATEGY": "end",
                "DDX_ACCOUNTS_FILE": str(accounts),
                "DDX_SPOOL_DIR": str(tmp_path / "spool"),
                **settings,
            }.items():
                monkeypatch.setenv(name, value)
            # None of these tests has telemetry that comes after the end.
            monkeypatch.setattr(extension, "last_telemetry_quiet_s", 0.01)
            keeper = Keeper(ours)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(extension._live, boot)  # pyright: ignore[reportPrivateUsage]
                await keeper.send(b'Rsome-id\0{"functionName":"orders","accountId":"123456789012"}')
                await keeper.asked()
                yield World(boot, keeper, lambda_, intake, accounts)
                await keeper.shutdown()
    for sock in (*boot.sockets.values(), theirs, ours):
        sock.close()


async def one_invocation(world: World) -> None:
    await world.keeper.invoke("r1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"a.count:1|c", ("127.0.0.1", world.port("dogstatsd")))
    await world.telemetry(
        ("platform.start", {"requestId": "r1"}),
        ("function", "a line"),
        ("platform.runtimeDone", {"requestId": "r1", "status": "success", "metrics": {"durationMs": 1.0}}),
    )
    await world.keeper.asked()


async def test_the_subscription_asks_for_everything_with_the_shortest_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_agent(tmp_path, monkeypatch) as world:
        (body,) = world.lambda_.bodies
        assert body["schemaVersion"] == "2025-01-29"
        assert body["types"] == ["platform", "function", "extension"]
        assert body["destination"] == {
            "protocol": "HTTP",
            "URI": f"http://sandbox.localdomain:{world.port('telemetry')}/",
        }
        assert body["buffering"]["timeoutMs"] == 25


async def test_data_of_an_invocation_has_arrived_when_the_next_event_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_agent(tmp_path, monkeypatch) as world:
        await one_invocation(world)
        assert world.intake.store.logs(contains="a line")
        assert world.intake.store.metrics(name="a.count")


@pytest.mark.parametrize(
    ("init_type", "tags"),
    [
        ("snap-start", {"cold_start:true"}),
        ("provisioned-concurrency", {"cold_start:false", "proactive_initialization:true"}),
    ],
)
async def test_an_old_start_makes_a_first_invocation_proactive_but_not_the_start_before_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, init_type: str, tags: set[str]
) -> None:
    """INVOKE overtakes the restore's telemetry, which is held for 25 ms at least."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", init_type)
    async with open_agent(tmp_path, monkeypatch, started_s_ago=3600) as world:
        await one_invocation(world)
        (count,) = world.intake.store.metrics(name="aws.lambda.enhanced.invocations")
        starts = {tag for tag in count.tags if tag.startswith(("cold_start:", "proactive_initialization:"))}
        assert starts == tags


@pytest.mark.parametrize("broken", list(pipelines))
@pytest.mark.parametrize("where", ["serve", "serve_later", "flush"])
async def test_a_failure_inside_one_signal_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, where: str
) -> None:
    async def fail_at_once(self: Pipeline, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        raise RuntimeError("a defect")

    async def fail_later(self: Pipeline, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a defect")

    async def fail_to_flush(self: Pipeline, kind: object) -> None:
        raise RuntimeError("a defect")

    failure = {"serve": fail_at_once, "serve_later": fail_later, "flush": fail_to_flush}[where]
    monkeypatch.setattr(pipelines[broken], where.removesuffix("_later"), failure)
    async with open_agent(tmp_path, monkeypatch) as world:
        await one_invocation(world)
        if broken != "logs":
            assert world.intake.store.logs(contains="a line")
        if broken != "metrics":
            assert world.intake.store.metrics(name="a.count")
    for signal in ("logs", "metrics", "traces"):
        assert world.account(signal)["closes"]


@pytest.mark.parametrize(
    ("strategy", "is_told"),
    [("end", True), ("periodically,5000", True), ("default", False), ("continuously,5000", False)],
)
async def test_a_strategy_that_managed_instances_do_not_have_is_replaced_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], strategy: str, is_told: bool
) -> None:
    monkeypatch.setattr(log, "_last", {})
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances")
    async with open_agent(tmp_path, monkeypatch, DD_SERVERLESS_FLUSH_STRATEGY=strategy):
        pass
    said = capfd.readouterr().out
    assert ("setting_ignored about=DD_SERVERLESS_FLUSH_STRATEGY" in said) == is_told
    assert ("instead=continuously,30000" in said) == is_told


async def test_when_the_keeper_has_gone_the_agent_flushes_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_agent(tmp_path, monkeypatch) as world:
        await world.telemetry(("platform.start", {"requestId": "r0"}), ("function", "a line"))
        world.keeper.close()
        await world.intake.wait_for(lambda store: store.logs(contains="a line"))
    assert world.account("logs")["held"]["items"] == 0


async def test_when_the_keeper_ends_in_mid_invocation_nobody_holds_the_ports_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_agent(tmp_path, monkeypatch) as world:
        await world.keeper.invoke("r0")
        await world.telemetry(("platform.start", {"requestId": "r0"}), ("function", "a line"))
        world.keeper.close()
        await world.intake.wait_for(lambda store: store.logs(contains="a line"))
    assert world.account("logs")["held"]["items"] == 0


async def test_the_span_of_a_durable_invocation_names_the_execution_of_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DD_LAMBDA_DURABLE_FUNCTION_LOG_BUFFER_SIZE", "5")
    meta = {"request_id": "r1", "aws.durable.execution_id": "e1", "aws.durable.execution_name": "name"}
    span = {
        "trace_id": 1,
        "span_id": 2,
        "name": "aws.lambda",
        "service": "s",
        "resource": "r",
        "start": 1,
        "duration": 1,
    }
    body = msgspec.msgpack.encode([[{**span, "meta": meta}]])
    async with open_agent(tmp_path, monkeypatch) as world:
        await world.telemetry(
            (
                "platform.initStart",
                {"initializationType": "on-demand", "runtimeVersion": "python:3.13.DurableFunction.v1"},
            )
        )
        await world.keeper.invoke("r1")
        await world.telemetry(("platform.start", {"requestId": "r1"}), ("function", "a line"))
        stream = await trio.open_tcp_stream("127.0.0.1", world.port("traces"))
        async with stream:
            head = f"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode() + body)
            assert b" 200 " in await stream.receive_some(4096)
        await world.telemetry(("platform.runtimeDone", {"requestId": "r1", "status": "success"}))
        await world.keeper.asked()
        (line,) = world.intake.store.logs(contains="a line")
        where = msgspec.json.decode(line.raw)["message"]["lambda"]
        assert where["durable_function.execution_id"] == "e1"
        assert where["durable_function.execution_name"] == "name"


def test_a_port_that_comes_free_in_the_last_pause_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = bound(socket.SOCK_DGRAM)
    monkeypatch.setenv("DD_DOGSTATSD_PORT", str(holder.getsockname()[1]))
    boot = Boot()
    boot.unbound["dogstatsd"] = "taken"

    def sleep(seconds: float) -> None:
        if seconds == extension.retry_bind_s[-1]:
            holder.close()

    monkeypatch.setattr(time, "sleep", sleep)
    extension._bind_what_was_taken(boot)  # pyright: ignore[reportPrivateUsage]
    assert not boot.unbound
    boot.sockets["dogstatsd"].close()
