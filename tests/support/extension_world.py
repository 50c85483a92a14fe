"""The extension as a process, between the local platform and the embedded intake: what the system tests play with."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from ddx_agent.testing import Faults, Function, Local, Ports, assert_delivered_once, open_local

here = Path(__file__).parent
api_key = "0123456789abcdef0123456789abcdef"


class World:
    """`ports` by purpose: lifecycle, statsd, traces, telemetry."""

    def __init__(self, local: Local, ports: dict[str, int], said: list[str]) -> None:
        self.platform = local.platform
        self.intake = local.intake
        self.ports = ports
        self.said = said
        """What the sandbox's processes wrote."""
        self._local = local

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
        return self._local.statuses()

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
    free = Ports.free()
    ports = {"lifecycle": free.lifecycle, "statsd": free.dogstatsd, "traces": free.traces, "telemetry": free.telemetry}
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(f"#!/bin/sh\nexec {sys.executable} {here / 'telling_runtime.py'}\n")
    bootstrap.chmod(0o755)
    function = Function(folder=folder, name="telling", handler="bootstrap", runtime="bootstrap", timeout_s=timeout_s)
    own = {
        "DD_API_KEY": api_key,
        "DD_SERVERLESS_FLUSH_STRATEGY": "end",
        "DDX_SPOOL_DIR": str(folder / "spool"),
        **(settings or {}),
    }
    said: list[str] = []
    with trio.fail_after(60):
        async with open_local(
            function,
            ports=free,
            extension_environment=own,
            faults=faults,
            freeze=freeze,
            cpu_share=False,
            on_line=lambda source, line: said.append(f"{source}: {line}"),
        ) as local:
            # Nothing listens before the first invocation.
            holders = [_hold(ports[purpose], is_datagram=purpose == "statsd") for purpose in taken]
            try:
                yield World(local, ports, said)
            finally:
                for holder in holders:
                    holder.close()


def _hold(port: int, *, is_datagram: bool) -> socket.socket:
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM)
    holder.bind(("0.0.0.0", port))
    if not is_datagram:
        holder.listen()
    return holder
