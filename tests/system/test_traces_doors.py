"""Where the extension takes traces, by its settings: the real process, each door tried from outside."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.extension_world import open_world
from tests.traces.support import HttpClient, v04, wire_span

pytestmark = pytest.mark.system


def traces_named(name: str) -> bytes:
    return v04([wire_span(trace_id=number, span_id=number, name=name) for number in range(1, 4)])


def addresses_of(port: int) -> list[str]:
    """Where somebody listens on that port, in the kernel's hexadecimal."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [address for address, at in (row[1].split(":") for row in rows if row[3] == "0A") if int(at, 16) == port]


async def test_traces_are_taken_on_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "apm.socket"
    pages: list[Any] = []

    async def post() -> None:
        async with await trio.open_unix_socket(str(path)) as stream:
            client = HttpClient(stream)
            assert (await client.ask("PUT", "/v0.4/traces", traces_named("unix"))).status == 200
            pages.append((await client.ask("GET", "/info")).json)

    async with open_world(tmp_path, settings={"DD_APM_RECEIVER_SOCKET": str(path)}) as world:
        await world.tell("i0", lines=1, metrics=1, spans=1)
        assert stat.S_IMODE(path.stat().st_mode) == 0o722
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            number = 0
            while not pages:  # between invocations the sandbox is frozen
                number += 1
                await world.tell(f"i{number}", lines=1, metrics=1, spans=1)
        await world.end()
        assert pages[0]["config"]["receiver_socket"] == str(path)
        assert pages[0]["config"]["receiver_port"] == world.ports["traces"]
        assert len(world.intake.store.spans(name="unix")) == 3
        assert len(world.intake.store.spans(name="work")) == number + 1


async def test_socket_that_cannot_be_bound_costs_itself_alone(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings={"DD_APM_RECEIVER_SOCKET": str(tmp_path / "no/apm.socket")}) as world:
        await world.tell("i1", lines=1, metrics=1, spans=1)
        await world.end()
        assert len(world.intake.store.spans(name="work")) == 1


@pytest.mark.parametrize("way", ["variable", "port", "file"])
async def test_nothing_listens_for_tracers_where_that_is_switched_off(tmp_path: Path, way: str) -> None:
    file = tmp_path / "datadog.yaml"
    file.write_text("apm_config:\n  enabled: false\n", encoding="utf-8")
    settings = {
        "variable": {"DD_APM_ENABLED": "false"},
        "port": {"DD_APM_RECEIVER_PORT": "0"},
        "file": {"DD_CONFIG_FILE": str(file)},
    }[way]
    async with open_world(tmp_path, settings=settings) as world:
        await world.tell("i1", lines=1, metrics=1, spans=0)
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", world.ports["traces"])


@pytest.mark.parametrize(("wanted", "address"), [("true", "00000000"), ("false", "0100007F")])
async def test_other_hosts_reach_the_port_where_they_may(tmp_path: Path, wanted: str, address: str) -> None:
    async with open_world(tmp_path, settings={"DD_APM_NON_LOCAL_TRAFFIC": wanted}) as world:
        await world.tell("i1", lines=1, metrics=1, spans=1)
        assert addresses_of(world.ports["traces"]) == [address]
        await world.end()


async def test_requests_and_connections_have_the_limits_that_are_set(tmp_path: Path) -> None:
    settings = {"DD_APM_MAX_PAYLOAD_SIZE": "65536", "DD_APM_CONNECTION_LIMIT": "2"}
    async with open_world(tmp_path, settings=settings) as world:
        port = world.ports["traces"]
        await world.tell("i0", lines=1, metrics=1, spans=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: world.tell("i1", lines=1, metrics=1, spans=1, sleep=2))
            async with (
                (await HttpClient.connect(port)).stream as first,
                (await HttpClient.connect(port)).stream as second,
            ):
                # Two that are at work: their requests have begun and do not end.
                for stream in (first, second):
                    await stream.send_all(b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n\x91")
                waiting = await HttpClient.connect(port)
                async with waiting.stream:
                    with trio.move_on_after(0.3) as scope:
                        await waiting.ask("GET", "/info")
                    assert scope.cancelled_caught
        refused: list[int] = []

        async def post() -> None:
            client = await HttpClient.connect(port)
            async with client.stream:
                refused.append((await client.ask("PUT", "/v0.4/traces", traces_named("x" * 30_000))).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: world.tell("i2", lines=1, metrics=1, spans=1, sleep=1))
            nursery.start_soon(post)
        assert refused == [413]
        await world.end()
        assert len(world.intake.store.spans(name="work")) == 3
