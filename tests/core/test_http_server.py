"""The HTTP server on real sockets: many connections, resets, large bodies, hostile clients."""

from __future__ import annotations

import errno
import socket
import struct
import tracemalloc
from contextlib import suppress
from functools import partial

import pytest
import trio

from ddx_core.http import (
    Hangup,
    Limits,
    Oversize,
    Request,
    Response,
    Route,
    Routes,
    open_tcp_listener,
    serve_http,
    text,
)
from tests.support.streams import read_all, read_until


class Server:
    def __init__(self) -> None:
        self.requests = 0
        self.most_at_once = 0
        self._at_once = 0
        self.port = 0
        self.blocked = trio.Event()
        self.release = trio.Event()

    async def start(self, nursery: trio.Nursery, limits: Limits | None = None) -> Server:
        listener = await open_tcp_listener("127.0.0.1", 0)
        self.port = listener.socket.getsockname()[1]
        routes = Routes(
            [
                Route(("GET",), "/", self._hello),
                Route(("POST",), "/discard", self._hello, max_body=1000, oversize=Oversize.DISCARD),
                Route(("POST",), "/refuse", self._hello, max_body=1000),
                Route(("GET",), "/reset", self._reset),
                Route(("GET",), "/block", self._block),
            ]
        )
        await nursery.start(partial(serve_http, limits=limits), [listener], routes)
        return self

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def _hello(self, request: Request) -> Response:
        self.requests += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await trio.lowlevel.checkpoint()
        self._at_once -= 1
        return text("truncated" if request.truncated else "hello")

    async def _reset(self, request: Request) -> Response:
        raise Hangup

    async def _block(self, request: Request) -> Response:
        self.blocked.set()
        await self.release.wait()
        return text("released")


request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def ask(stream: trio.SocketStream, data: bytes = request, until: bytes = b"hello") -> bytes:
    await stream.send_all(data)
    return await read_until(stream, lambda answer: answer.endswith(until))


async def test_many_requests_on_many_connections(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery)

    async def client() -> None:
        async with await server.connect() as stream:
            for _ in range(5):
                assert (await ask(stream)).startswith(b"HTTP/1.1 200 OK\r\n")

    async with trio.open_nursery() as clients:
        for _ in range(50):
            clients.start_soon(client)
    assert server.requests == 250


async def test_connections_past_the_limit_wait_for_their_turn(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery, Limits(max_connections=20))

    async def client() -> None:
        async with await server.connect() as stream:
            await ask(stream)

    with trio.fail_after(20):
        async with trio.open_nursery() as clients:
            for _ in range(300):
                clients.start_soon(client)
    assert server.requests == 300
    assert server.most_at_once <= 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddx_core.http.bounds.crowded_idle_s", 0.05)
    monkeypatch.setattr("ddx_core.http.wire.second_chance_s", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_idle_connections_give_way_when_others_wait(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery, Limits(max_connections=4))
    async with await server.connect() as first, await server.connect() as second, await server.connect() as busy:
        await ask(first)
        await ask(second)
        await busy.send_all(request.replace(b"/", b"/block", 1))
        await server.blocked.wait()
        with trio.fail_after(10):
            async with await server.connect() as newcomer:  # takes the last place, so that the next one must wait
                await ask(newcomer)
                # The one that was idle for longest is closed; it is told so by an ordinary end of stream.
                assert await read_all(first) == b""
        await ask(second)


@pytest.mark.usefixtures("impatient")
async def test_who_was_refused_and_sends_slowly_gives_way_when_others_wait(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery, Limits(max_connections=1, body_s=60))

    async def drip(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"x")
                await trio.sleep(0.02)

    async with await server.connect() as refused:
        await refused.send_all(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        assert (await read_until(refused, lambda answer: b"\r\n\r\n" in answer)).startswith(b"HTTP/1.1 404 ")
        nursery.start_soon(drip, refused)
        with trio.fail_after(10):
            async with await server.connect() as newcomer:
                await ask(newcomer)
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("impatient")
async def test_a_busy_connection_never_gives_way(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery, Limits(max_connections=2))
    async with await server.connect() as busy, await server.connect() as idle:
        await busy.send_all(request.replace(b"/", b"/block", 1))
        await server.blocked.wait()
        await ask(idle)
        with trio.fail_after(10):
            async with await server.connect() as newcomer:
                await ask(newcomer)
        server.release.set()
        assert await read_until(busy, lambda answer: answer.endswith(b"released"))


async def test_a_reset_is_a_reset(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery)
    async with await server.connect() as stream:
        await stream.send_all(request.replace(b"/", b"/reset", 1))
        with pytest.raises(trio.BrokenResourceError) as caught:
            await stream.receive_some()
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ECONNRESET
    async with await server.connect() as stream:
        await ask(stream)


async def test_a_client_that_resets_costs_nobody_anything(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    server = await Server().start(nursery)
    for sent in (b"", request[:9], request, request.replace(b"/", b"/block", 1)):
        stream = await server.connect()
        await stream.send_all(sent)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
    server.release.set()
    async with await server.connect() as stream:
        await ask(stream)
    assert not caplog.text


@pytest.mark.parametrize(
    ("path", "answer"), [("/discard", b"truncated"), ("/refuse", b"length limit exceeded"), ("/none", b"Not Found")]
)
async def test_a_body_of_100_mb_leaves_memory_flat(nursery: trio.Nursery, path: str, answer: bytes) -> None:
    server = await Server().start(nursery)
    size = 100 << 20
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    chunk = bytes(1 << 20)
    async with await server.connect() as stream:
        await stream.send_all(head)
        tracemalloc.start()
        try:
            for _ in range(100):
                await stream.send_all(chunk)
            got = await read_until(stream, lambda data: data.endswith(answer))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert got.startswith(b"HTTP/1.1 200" if path == "/discard" else b"HTTP/1.1 4")
    assert peak < 4 << 20


async def test_an_endless_body_is_refused_in_the_end(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery, Limits(discard_bytes=1 << 20))
    async with await server.connect() as stream:
        await stream.send_all(b"POST /discard HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with trio.fail_after(20), suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"10000\r\n" + bytes(65536) + b"\r\n")


async def test_random_bytes_do_not_keep_others_waiting(nursery: trio.Nursery) -> None:
    server = await Server().start(nursery)
    async with await server.connect() as stream:
        for noise in (b"\x00\xff" * 40_000, b"\r\n" * 10_000, b"GET " + b"/" * 200_000):
            async with await server.connect() as noisy:
                with trio.fail_after(10):
                    await noisy.send_all(noise)
                    await noisy.send_eof()
                    got = await read_all(noisy)
                    assert not got or got.startswith(b"HTTP/1.1 4")
                    await ask(stream)


async def test_cancelling_the_server_closes_everything() -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        streams = [await server.connect() for _ in range(3)]
        await ask(streams[0])
        await streams[1].send_all(request.replace(b"/", b"/block", 1))
        await server.blocked.wait()
        nursery.cancel_scope.cancel()
    for stream in streams:
        assert await read_all(stream) == b""
        await stream.aclose()
    with pytest.raises(OSError, match=r"."):
        await server.connect()


async def test_a_request_in_hand_is_answered_after_the_server_was_cancelled() -> None:
    server = Server()
    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as nursery:
            await server.start(nursery, Limits(grace_s=60))
            stream = await server.connect()
            await stream.send_all(request.replace(b"/", b"/block", 1))
            await server.blocked.wait()

            async def release_when_nobody_listens() -> None:
                while True:
                    try:
                        late = await server.connect()
                    except OSError:
                        break
                    await late.aclose()
                server.release.set()

            nursery.cancel_scope.cancel()
            outer.start_soon(release_when_nobody_listens)
        assert b" 200 " in await read_all(stream)
        await stream.aclose()


async def test_a_port_that_was_just_in_use_can_be_bound_again() -> None:
    first = await open_tcp_listener("127.0.0.1", 0)
    port = first.socket.getsockname()[1]
    async with await trio.open_tcp_stream("127.0.0.1", port):
        await (await first.accept()).aclose()  # our side closes first, so that the port goes to TIME_WAIT
    await first.aclose()
    second = await open_tcp_listener("127.0.0.1", port)
    await second.aclose()


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    first = await open_tcp_listener("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await open_tcp_listener("127.0.0.1", first.socket.getsockname()[1])
    await first.aclose()


async def test_ipv6_is_served_too(nursery: trio.Nursery) -> None:
    try:
        listener = await open_tcp_listener("::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")

    async def peer(request: Request) -> Response:
        return text(request.peer)

    await nursery.start(serve_http, [listener], Routes([Route(("GET",), "/", peer)]))
    async with await trio.open_tcp_stream("::1", listener.socket.getsockname()[1]) as stream:
        await stream.send_all(request)
        assert b"::1:" in await read_until(stream, lambda data: b"::1:" in data)
