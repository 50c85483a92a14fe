"""A small site, a raw client and the memory streams between them: for tests of the HTTP server without sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import h11
import trio

from ddx_core.http import Activity, Hangup, Limits, Oversize, Request, Response, Route, Routes, json, text
from ddx_core.http.bounds import Bounds
from ddx_core.http.connection import serve_stream
from tests.support.streams import memory_streams

tight_limits = Limits(header_bytes=4096, header_s=5, body_s=10, idle_s=100, answer_s=10, discard_bytes=10_000)


class Site:
    """A few handlers, and what they were asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.streams_closed = 0
        self.routes = Routes(
            [
                Route(("GET", "HEAD"), "/hello", self.hello),
                Route(("POST",), "/echo", self.echo, max_body=100),
                Route(("POST",), "/discard", self.echo, max_body=100, oversize=Oversize.DISCARD),
                Route(("GET",), "/fail", self.fail),
                Route(("GET",), "/block", self.block),
                Route(("GET",), "/hangup", self.hang_up),
                Route(("GET", "HEAD"), "/stream", self.stream),
                Route(("GET",), "/endless", self.endless),
                Route(("GET",), "/short", self.short),
                Route(("GET",), "/empty", self.empty),
                Route(("GET",), "/bye", self.bye),
                Route(("CONNECT",), "*", self.hello),
            ]
        )

    async def hello(self, request: Request) -> Response:
        self.requests.append(request)
        return text("hello")

    async def echo(self, request: Request) -> Response:
        self.requests.append(request)
        return json({"size": len(request.body), "truncated": request.truncated})

    async def fail(self, request: Request) -> Response:
        raise ValueError("a defect with details")

    async def block(self, request: Request) -> Response:
        await trio.sleep(1000)
        return text("at last")

    async def hang_up(self, request: Request) -> Response:
        raise Hangup(b"HTTP/1.1 200 OK\r\nContent-Le")

    async def stream(self, request: Request) -> Response:
        return Response(body=b"one,", stream=self._chunks())

    async def endless(self, request: Request) -> Response:
        return Response(stream=self._chunks(endless=True))

    async def short(self, request: Request) -> Response:
        return Response(body=b"1234", headers=(("Content-Length", "10"),))

    async def empty(self, request: Request) -> Response:
        return Response(status=204)

    async def bye(self, request: Request) -> Response:
        return Response(body=b"bye", close=True)

    async def _chunks(self, *, endless: bool = False) -> AsyncGenerator[bytes]:
        try:
            yield b""
            yield b"two,"
            await trio.sleep(500)  # a chunk may be waited for, longer than any limit
            yield b"three"
            while endless:
                yield b"x" * 1000
                await trio.lowlevel.checkpoint()
        finally:
            self.streams_closed += 1


class Client:
    """The other end: raw bytes out, raw bytes or h11 answers in."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self._h11 = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self, method: bytes = b"GET") -> tuple[int, dict[str, str], bytes]:
        """The next answer; the client's h11 is told of a request it has not sent itself."""
        if self._h11.our_state is h11.IDLE:
            self._h11.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
            self._h11.send(h11.EndOfMessage())
        status, headers, body = 0, dict[str, str](), b""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self.stream.receive_some(65536)))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self._h11.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                    self._h11.start_next_cycle()
                return status, headers, body
            elif not isinstance(event, h11.InformationalResponse):
                raise AssertionError(f"no answer but {event!r}")

    async def is_closed(self) -> bool:
        return not await self.stream.receive_some(1)


class Setting:
    """A server without sockets: each `connect` gives one more client of it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.site = Site()
        self.activity = Activity()
        self._bounds: dict[Limits, Bounds] = {}
        self._nursery = nursery

    @property
    def body_bytes(self) -> int:
        """What the server counts of bodies at hand."""
        return sum(bounds.bodies.bytes for bounds in self._bounds.values())

    def connect(
        self,
        limits: Limits = tight_limits,
        wrap: Callable[[trio.abc.HalfCloseableStream], trio.abc.HalfCloseableStream] = lambda stream: stream,
    ) -> Client:
        ours, theirs = memory_streams()
        served = wrap(theirs)
        bounds = self._bounds.setdefault(limits, Bounds(limits, self.activity))

        async def serve() -> None:
            await serve_stream(served, self.site.routes, bounds)
            await served.aclose()

        self._nursery.start_soon(serve)
        return Client(ours)


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body
