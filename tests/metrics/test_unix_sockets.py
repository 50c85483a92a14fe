"""Unix sockets: datagrams and streams, from the real client and from raw sockets, well-behaved and not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from datadog.dogstatsd.base import DogStatsd

from ddx_core.pipeline import FlushKind, start_contained
from ddx_metrics.dogstatsd.server import DatagramReceiver
from ddx_metrics.dogstatsd.stream import StreamReceiver
from ddx_metrics.settings import ReceiverSettings
from ddx_metrics.unix_sockets import (
    bind_datagram_socket,
    bind_stream_socket,
    close_and_unlink,
    receive_datagrams,
    receive_streams,
)

from .support import Rig
from .test_framing import framed

settings = ReceiverSettings()


@pytest.mark.parametrize("scheme", ["unix", "unixstream"])
async def test_what_the_datadog_client_sends_arrives(tmp_path: Path, scheme: str) -> None:
    path = str(tmp_path / "statsd.sock")
    rig = Rig()
    is_stream = scheme == "unixstream"
    sock = bind_stream_socket(path) if is_stream else bind_datagram_socket(path)
    (receive_streams if is_stream else receive_datagrams)(rig.pipeline, sock, settings)
    async with trio.open_nursery() as nursery:
        await start_contained(nursery, rig.pipeline)
        client = DogStatsd(socket_path=f"{scheme}://{path}", disable_telemetry=True, disable_buffering=False)
        for number in range(500):
            client.increment(f"hits.{number % 3}", tags=["a:b"])
        client.event("title", "text")
        client.flush()
        await rig.pipeline.flush(FlushKind.FINAL)
        client.stop()
        client.close_socket()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    close_and_unlink(sock)
    assert sorted(metric.value or 0 for metric in rig.delivered) == [166, 167, 167]
    assert rig.account.snapshot().delivered.items == 501
    assert rig.dropped == {}
    rig.check()


def test_anybody_may_send_and_a_dead_name_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for bind in (bind_datagram_socket, bind_stream_socket):
        first = bind(str(path))
        assert path.stat().st_mode & 0o777 == 0o722
        with pytest.raises(OSError, match="somebody else"):
            bind(str(path))
        first.close()  # as when its process dies: the name stays
        second = bind(f"unix://{path}")
        close_and_unlink(second)
        assert not path.exists()


def test_a_socket_of_the_other_kind_is_left_to_its_owner(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    for bind, other in ((bind_datagram_socket, bind_stream_socket), (bind_stream_socket, bind_datagram_socket)):
        first = bind(path)
        with pytest.raises(OSError, match="somebody else"):
            other(path)
        close_and_unlink(first)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    for bind, name in (
        (bind_datagram_socket, str(path)),
        (bind_stream_socket, str(tmp_path / "no" / "such" / "folder")),
        (bind_datagram_socket, "x" * 200),
    ):
        with pytest.raises(OSError):
            bind(name)
    assert path.read_text() == "precious"


class Stream:
    """A stream receiver on its own, and what it took."""

    def __init__(self, path: Path, *, needs_eol: bool = False, **options: int) -> None:
        self.path = str(path)
        self.listener = bind_stream_socket(self.path)
        self.taken: list[bytes] = []
        self.cut: list[tuple[str, int]] = []
        self.receiver = StreamReceiver(
            self.listener,
            self.taken.extend,
            count_cut=lambda reason, size: self.cut.append((reason, size)),
            settings=ReceiverSettings(max_bytes=20, needs_eol=needs_eol),
            **options,
        )

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(self.path)
        return sock


async def served(stream: Stream, act: Callable[[trio.Nursery], None]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.receiver.serve)
        await trio.testing.wait_all_tasks_blocked()
        act(nursery)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    stream.listener.close()


async def test_a_connection_that_ends_within_a_frame_is_counted(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "s")

    def act(_: trio.Nursery) -> None:
        with closing(stream.connect()) as client:
            client.sendall(framed(b"m:1|c") + framed(b"n:1|c")[:6])

    await served(stream, act)
    assert stream.taken == [b"m:1|c"]
    assert stream.cut == [("truncated", 6)]


async def test_what_lies_in_connections_when_the_receiver_ends_is_taken_in_order(tmp_path: Path) -> None:
    """As what lies in a datagram socket is; the connections are closed, so nobody can read it later."""
    stream = Stream(tmp_path / "s")
    clients = [stream.connect() for _ in range(5)]
    lines = [b"g:%d|g" % number for number in range(5)]

    def act(nursery: trio.Nursery) -> None:
        for client, line in zip(clients, lines, strict=True):
            client.sendall(framed(line))
        clients[-1].sendall(framed(b"half:1|c")[:6])
        nursery.cancel_scope.cancel()

    await served(stream, act)
    assert stream.taken == lines
    assert stream.cut == [("truncated", 6)]
    for client in clients:
        client.close()


async def test_a_last_line_of_a_frame_without_newline_is_left_out_where_one_is_required(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "s", needs_eol=True)

    def act(_: trio.Nursery) -> None:
        with closing(stream.connect()) as client:
            client.sendall(framed(b"m:1|c\nhalf:1", b"n:1|c\n"))

    await served(stream, act)
    assert stream.taken == [b"m:1|c\n", b"n:1|c\n"]
    assert stream.cut == [("unterminated", 6)]


async def test_a_frame_too_large_ends_its_connection_and_no_other(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "s")
    with closing(stream.connect()) as bad, closing(stream.connect()) as good:

        def act(_: trio.Nursery) -> None:
            bad.sendall(framed(b"m:1|c", b"x" * 21, b"lost:1|c"))
            good.sendall(framed(b"n:1|c"))

        await served(stream, act)
        assert bad.recv(1) == b""
    assert sorted(stream.taken) == [b"m:1|c", b"n:1|c"]
    assert stream.cut == [("frame_too_large", 0)]


async def test_no_more_connections_than_allowed(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "s", max_connections=2)
    clients = [stream.connect() for _ in range(3)]

    def act(_: trio.Nursery) -> None:
        for client in clients[:2]:
            client.sendall(framed(b"m:1|c"))

    await served(stream, act)
    clients[2].setblocking(False)
    assert clients[2].recv(1) == b""
    assert stream.taken == [b"m:1|c"] * 2
    for client in clients:
        client.close()


async def test_connections_that_are_over_take_no_place_from_new_ones(tmp_path: Path) -> None:
    """A client that opens one for each metric is faster than the tasks which close them."""
    stream = Stream(tmp_path / "s", max_connections=2)
    lines = [b"m:%d|g" % number for number in range(9)]

    def act(_: trio.Nursery) -> None:
        for line in lines:
            with closing(stream.connect()) as client:
                client.sendall(framed(line))

    await served(stream, act)
    assert stream.taken == lines


def test_a_flush_takes_what_lies_in_connections_that_nobody_has_accepted_yet(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "s")
    with closing(stream.connect()) as client:
        client.sendall(framed(b"m:1|c", b"n:1|c"))
        stream.receiver.drain()
        assert stream.taken == [b"m:1|c", b"n:1|c"]
        for connection in stream.receiver._connections:  # pyright: ignore[reportPrivateUsage] (nobody serves here)
            connection.close()
    stream.listener.close()


@pytest.mark.parametrize("is_served", [True, False])
async def test_the_last_value_over_one_connection_after_another_stands(tmp_path: Path, is_served: bool) -> None:
    """An old connection may still hold data when the next one is accepted; neither tasks nor a flush change the order."""
    stream = Stream(tmp_path / "s")
    expected: list[bytes] = []

    async def send_all() -> None:
        for start in range(0, 100, 5):
            clients = [stream.connect()]
            if is_served:
                await trio.testing.wait_all_tasks_blocked()
            for number in range(start, start + 5):
                expected.append(b"g:%d|g" % number)
                clients[-1].sendall(framed(expected[-1]))
                clients.append(stream.connect())
            for client in clients:
                client.close()
            if is_served:
                await trio.testing.wait_all_tasks_blocked(0.001)
            else:
                stream.receiver.drain()

    async with trio.open_nursery() as nursery:
        if is_served:
            nursery.start_soon(stream.receiver.serve)
        await send_all()
        nursery.cancel_scope.cancel()
    for connection in stream.receiver._connections:  # pyright: ignore[reportPrivateUsage] (perhaps nobody has served)
        connection.close()
    stream.listener.close()
    assert stream.taken == expected


async def test_a_unix_datagram_above_the_limit_gives_its_whole_lines(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    rig = Rig()
    sock = bind_datagram_socket(path)
    receive_datagrams(rig.pipeline, sock, ReceiverSettings(max_bytes=1000))
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as client:
        client.sendto(b"m:1|c\n" * 200, path)
        client.sendto(b"n:1|c", path)
    await rig.pipeline.flush(FlushKind.BLOCKING)
    rig.check()
    assert {metric.name: metric.value for metric in rig.delivered} == {"m": 166, "n": 1}
    assert rig.dropped == {"truncated": 1}
    close_and_unlink(sock)


def test_a_drain_takes_all_that_a_unix_datagram_socket_holds(tmp_path: Path) -> None:
    """It holds so many datagrams, however long and whatever its buffer's size."""
    sock = bind_datagram_socket(str(tmp_path / "statsd"), rcvbuf=1)
    taken: list[bytes] = []
    receiver = DatagramReceiver(sock, taken.extend, settings=ReceiverSettings(round_datagrams=1))
    sent = 0
    with sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        sender.connect(str(tmp_path / "statsd"))
        with suppress(BlockingIOError):
            while True:
                sender.send(b"m:1|c\n" * 1_000)
                sent += 1
        receiver.drain()
    assert len(taken) == sent > 1


def test_a_drain_of_a_unix_datagram_socket_ends_though_the_sender_does_not(tmp_path: Path) -> None:
    sock = bind_datagram_socket(str(tmp_path / "statsd"))
    with sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(tmp_path / "statsd"))

        def take(datagrams: list[bytes]) -> None:
            for each in datagrams:
                sender.send(each)

        sender.send(b"one more:1|c")
        DatagramReceiver(sock, take).drain()


async def test_a_unix_datagram_socket_is_read_again_at_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """It holds ten datagrams or so: who sends more waits for the reader."""
    sock = bind_datagram_socket(str(tmp_path / "statsd"))
    taken: list[bytes] = []
    with sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(tmp_path / "statsd"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(DatagramReceiver(sock, taken.extend).serve)
            began = trio.current_time()
            for burst in range(20):
                for number in range(5):
                    sender.send(b"%d.%d:1|c" % (burst, number))
                while len(taken) < 5 * (burst + 1):
                    await trio.lowlevel.checkpoint()
            assert trio.current_time() == began
            nursery.cancel_scope.cancel()
