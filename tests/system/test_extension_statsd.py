"""DogStatsD of the real extension, on Unix sockets and with settings: events, service checks and metrics at the intake."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.extension_world import open_world

pytestmark = pytest.mark.system


async def test_unix_sockets_and_events_of_the_real_extension(tmp_path: Path) -> None:
    datagrams, streams = tmp_path / "d.sock", tmp_path / "s.sock"
    settings = {
        "DD_DOGSTATSD_SOCKET": str(datagrams),
        "DD_DOGSTATSD_STREAM_SOCKET": str(streams),
        "DD_STATSD_METRIC_BLOCKLIST": "noise",
    }
    async with open_world(tmp_path, settings=settings) as world:
        await world.tell("i0", metrics=1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"by.datagram:1:2|c\nnoise:1|c\n_e{5,4}:title|text|#a:b", str(datagrams))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(streams))
            for message in (b"by.stream:3|c", b"_sc|up|1|m:so so"):
                client.sendall(len(message).to_bytes(4, "little") + message)
        await world.tell("i1", metrics=1)
        await world.end()
        store = world.intake.store
        assert sum(each.value or 0 for each in store.metrics(name="by.datagram")) == 3
        assert sum(each.value or 0 for each in store.metrics(name="by.stream")) == 3
        assert [(event.title, "a:b" in event.tags) for event in store.events()] == [("title", True)]
        (check,) = store.checks()
        assert (check.name, check.status, check.message) == ("up", 1, "so so")
        assert any(tag.startswith("functionname:") for tag in check.tags)
        account = world.account("metrics")
        assert account["closes"]
        assert account["dropped"]["filtered"]["items"] == 1


async def test_a_socket_that_cannot_be_bound_costs_itself(tmp_path: Path) -> None:
    settings = {"DD_DOGSTATSD_SOCKET": str(tmp_path / "no" / "folder" / "d.sock")}
    async with open_world(tmp_path, settings=settings) as world:
        await world.tell("i0", metrics=3)
        await world.end()
        world.assert_everything_arrived_once()
        assert any("DD_DOGSTATSD_SOCKET" in line for line in world.said)


async def test_points_of_the_next_life_are_of_other_seconds(tmp_path: Path) -> None:
    """An intake keeps the last point of a second: told for one second, the first life's count would be lost."""
    async with open_world(tmp_path) as world:
        await world.tell("i0")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", world.ports["statsd"]))
            client.send(b"orders:5|c")
            assert (await world.platform.invoke({"id": "i1", "sleep": 0.2, "crash": True})).error_type is not None
            await world.tell("i2")
            client.send(b"orders:7|c")
            await world.tell("i3")
        await world.end()
        points = [(each.timestamp_s, each.value) for each in world.intake.store.metrics(name="orders")]
        assert [value for _, value in points] == [5, 7]
        assert len(dict(points)) == 2
