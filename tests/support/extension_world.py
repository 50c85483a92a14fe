"""The extension as a process, between the local platform and the embedded intake: what the system tests play with."""

from __future__ import annotations

import json
import random
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from ddx_agent.local.faults import Faults
from ddx_agent.local.function import Function
from ddx_agent.local.platform import Platform, open_platform
from ddx_agent.testing import Intake, assert_delivered_once, open_intake

here = Path(__file__).parent


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port below those that the kernel hands out by itself: no connection that is made meanwhile can take it."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(10_000, 32_000)
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port


class World:
    """`ports` by purpose: lifecycle, statsd, traces, telemetry."""

    def __init__(self, platform: Platform, intake: Intake, ports: dict[str, int], accounts_file: Path) -> None:
        self.platform = platform
        self.intake = intake
        self.ports = ports
        self._accounts_file = accounts_file

    async def tell(self, id: str, **event: Any) -> Any:
        """Invoke the telling function; its answer, which it must have given."""
        result = await self.platform.invoke({"id": id, **event})
        assert result.function_error is None, result
        answer = json.loads(result.payload)
        assert answer["id"] == id
        return result

    async def end(self, reason: str = "spindown") -> None:
        await self.platform.shutdown(reason)

    def documents(self) -> list[dict[str, Any]]:
        """The status documents that each life of the agent left behind."""
        if not self._accounts_file.exists():
            return []
        return [json.loads(line) for line in self._accounts_file.read_text().splitlines()]

    def account(self, signal: str, life: int = -1) -> dict[str, Any]:
        account = self.documents()[life]["signals"][signal]
        assert account["closes"], account
        return account

    def assert_everything_arrived_once(self) -> None:
        """Accounts close with nothing held or lost, and the intake decoded just as many items, none of them twice."""
        totals = self.intake.store.totals()
        for signal, arrived in (("logs", totals.logs), ("traces", totals.spans)):
            delivered = sum(document["signals"][signal]["delivered"]["items"] for document in self.documents())
            assert delivered == arrived, (signal, delivered, arrived)
        for signal in ("logs", "metrics", "traces", "stats"):
            account = self.account(signal)
            assert account["held"]["items"] == 0, (signal, account)
            assert not set(account["dropped"]) - {"filtered", "own_line"}, (signal, account)
        assert_delivered_once(self.intake.store)

    def lines_of(self, id: str) -> list[str]:
        return sorted(log.message for log in self.intake.store.logs(contains=f"{id} line"))


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    faults: Faults | None = None,
    timeout_s: float = 10.0,
    freeze: bool = True,
    taken: tuple[str, ...] = (),
    settings: Mapping[str, str] | None = None,
) -> AsyncGenerator[World]:
    """`settings` are further variables of the extension's environment; `taken` names ports that somebody else holds."""
    ports = {
        "lifecycle": free_port(),
        "statsd": free_port(socket.SOCK_DGRAM),
        "traces": free_port(),
        "telemetry": free_port(),
    }
    holders: list[socket.socket] = []
    for purpose in taken:
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if purpose == "statsd" else socket.SOCK_STREAM)
        holder.bind(("0.0.0.0", ports[purpose]))
        if purpose != "statsd":
            holder.listen()
        holders.append(holder)
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(f"#!/bin/sh\nexec {sys.executable} {here / 'telling_runtime.py'}\n")
    bootstrap.chmod(0o755)
    function = Function(
        folder=folder,
        name="telling",
        handler="bootstrap",
        runtime="bootstrap",
        timeout_s=timeout_s,
        environment={"STATSD_PORT": str(ports["statsd"]), "TRACES_PORT": str(ports["traces"])},
    )
    accounts_file = folder / "accounts.jsonl"
    async with open_intake() as intake:
        url = intake.url
        environment = {
            "DD_API_KEY": "0123456789abcdef0123456789abcdef",
            "DD_DD_URL": url,
            "DD_LOGS_CONFIG_LOGS_DD_URL": url,
            "DD_APM_DD_URL": url,
            "DD_SERVERLESS_FLUSH_STRATEGY": "end",
            "DDX_ACCOUNTS_FILE": str(accounts_file),
            "DDX_SPOOL_DIR": str(folder / "spool"),
            "DDX_LIFECYCLE_PORT": str(ports["lifecycle"]),
            "DD_DOGSTATSD_PORT": str(ports["statsd"]),
            "DD_APM_RECEIVER_PORT": str(ports["traces"]),
            "DDX_TELEMETRY_PORT": str(ports["telemetry"]),
            "DDX_TELEMETRY_HOST": "127.0.0.1",
            **(settings or {}),
        }
        try:
            with trio.fail_after(60):
                async with open_platform(
                    function, extension_environment=environment, faults=faults, freeze=freeze, cpu_share=False
                ) as platform:
                    yield World(platform, intake, ports, accounts_file)
        finally:
            for holder in holders:
                holder.close()
