"""The shell round h11: sockets in, handlers called, answers out.

Rules of this file:
- One connection is one task. Nothing a client does ends another's connection or the server.
- Everything is limited: the request line and header together, the body by its route, the time for each, idle time, the
  number of connections. A limit that is passed is answered where that is still possible, then the connection closes.
- The process may be frozen for hours in the middle of a request. A deadline that passes is therefore given one short
  second chance: what arrived during the freeze lies in the socket and is read at once, a slow client gains only that.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import h11
import msgspec
import trio

from .. import log
from .message import Hangup, Headers, Request, Response, text
from .routes import Match, NoMatch, Oversize, Route, Routes

receive_bytes: Final = 65536
second_chance_s: Final = 0.5

# accept(2) reports these for trouble of one connection or of the moment; the listener itself is sound.
_passing_accept_errors = {errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH}
_overload_accept_errors = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one server. Times are in seconds, sizes in bytes."""

    max_connections: int = 256
    header_bytes: int = 65536
    header_s: float = 5.0
    body_s: float = 20.0
    idle_s: float = 3600.0
    answer_s: float = 20.0
    discard_bytes: int = 256 << 20


class Activity:
    """The requests that a server has begun to receive and not yet answered: whoever flushes may wait for them a moment."""

    def __init__(self) -> None:
        self._requests = 0
        self._idle = trio.Event()
        self._idle.set()

    @property
    def requests(self) -> int:
        return self._requests

    async def wait_idle(self) -> None:
        """Until no request is half received or half answered."""
        await self._idle.wait()

    def begin(self) -> None:
        if not self._requests:
            self._idle = trio.Event()
        self._requests += 1

    def end(self) -> None:
        self._requests -= 1
        if not self._requests:
            self._idle.set()


class _Refused(Exception):
    """The request ends here with this answer, and the connection with it."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


async def open_tcp_listener(host: str, port: int, *, backlog: int = 512) -> trio.SocketListener:
    """Bind one address. `SO_REUSEADDR` is set, so that a port in TIME_WAIT after a restart is no obstacle."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await sock.bind((host, port))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(sock)


async def serve_http(
    listeners: Sequence[trio.SocketListener],
    routes: Routes,
    *,
    limits: Limits | None = None,
    activity: Activity | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; the listeners are closed on the way out. Past `max_connections`, new ones wait in the backlog."""
    limits = limits or Limits()
    activity = activity or Activity()
    slots = trio.CapacityLimiter(limits.max_connections)
    try:
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(_accept, listener, routes, limits, activity, slots, nursery)
            task_status.started()
    finally:
        for listener in listeners:
            with trio.CancelScope(shield=True):
                await listener.aclose()


async def _accept(
    listener: trio.SocketListener,
    routes: Routes,
    limits: Limits,
    activity: Activity,
    slots: trio.CapacityLimiter,
    connections: trio.Nursery,
) -> None:
    while True:
        token = object()
        await slots.acquire_on_behalf_of(token)
        try:
            stream = await listener.accept()
        except trio.ClosedResourceError:
            slots.release_on_behalf_of(token)
            return
        except OSError as error:
            slots.release_on_behalf_of(token)
            if error.errno in _overload_accept_errors:
                log.warning("http_accept_overloaded", error=error.strerror)
                await trio.sleep(0.1)
            elif error.errno not in _passing_accept_errors:
                raise
            continue
        except BaseException:
            slots.release_on_behalf_of(token)
            raise
        connections.start_soon(_connection, stream, routes, limits, activity, slots, token)


async def _connection(
    stream: trio.SocketStream,
    routes: Routes,
    limits: Limits,
    activity: Activity,
    slots: trio.CapacityLimiter,
    token: object,
) -> None:
    try:
        await serve_stream(stream, routes, limits=limits, activity=activity)
    except Exception as error:
        # The last handler of a connection: a defect of ours costs this client its connection and nobody else anything.
        log.error("http_connection_failed", exc_info=error)
    finally:
        slots.release_on_behalf_of(token)
        with trio.move_on_after(1, shield=True):
            await trio.aclose_forcefully(stream)


async def serve_stream(
    stream: trio.SocketStream | trio.abc.HalfCloseableStream,
    routes: Routes,
    *,
    limits: Limits,
    activity: Activity | None = None,
) -> None:
    """Serve one connection, request after request, until either side ends it."""
    peer = _peer(stream)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
    wire = _Wire(stream, connection, activity or Activity())
    try:
        while True:
            try:
                answered = await _one_request(wire, routes, limits, peer)
            except h11.RemoteProtocolError as error:
                if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await _refuse(wire, limits, text(f"Bad request: {error}\n", error.error_status_hint or 400))
                return
            finally:
                wire.end_request()
            if not answered or connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        return


class _Wire:
    """A stream and its h11 state: one event at a time, under a deadline with a second chance after a freeze."""

    def __init__(self, stream: Any, connection: h11.Connection, activity: Activity) -> None:
        self.stream = stream
        self.connection = connection
        self.received = 0
        self._activity = activity
        self._in_request = False

    def begin_request(self) -> None:
        if not self._in_request:
            self._in_request = True
            self._activity.begin()

    def end_request(self) -> None:
        if self._in_request:
            self._in_request = False
            self._activity.end()

    async def next_event(self, deadline: float) -> Any:
        while True:
            event = self.connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = await self._receive(deadline)
            self.received += len(data)
            self.connection.receive_data(data)

    async def _receive(self, deadline: float) -> bytes:
        with trio.CancelScope(deadline=deadline) as scope:
            return await self.stream.receive_some(receive_bytes)
        assert scope.cancelled_caught
        with trio.fail_after(second_chance_s):
            return await self.stream.receive_some(receive_bytes)

    async def send(self, data: bytes | None) -> None:
        if data:
            await self.stream.send_all(data)


async def _one_request(wire: _Wire, routes: Routes, limits: Limits, peer: str) -> bool:
    """Read one request and answer it. False: there was none (the client has gone) or the connection must close."""
    connection = wire.connection
    received_before = wire.received
    leftover = bool(connection.trailing_data[0])
    try:
        # Between requests a client may be silent for long; once its first byte is here the header must follow soon.
        event: Any = connection.next_event()
        if event is h11.NEED_DATA and not leftover:
            data = await wire._receive(trio.current_time() + limits.idle_s)  # pyright: ignore[reportPrivateUsage]
            wire.received += len(data)
            connection.receive_data(data)
            wire.begin_request()
            event = connection.next_event()
        wire.begin_request()
        if event is h11.NEED_DATA:
            event = await wire.next_event(trio.current_time() + limits.header_s)
    except trio.TooSlowError:
        if wire.received > received_before or leftover:
            await _refuse(wire, limits, text("The request header took too long\n", 408))
        return False
    if not isinstance(event, h11.Request):
        return False
    headers = Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers])
    target = event.target.decode("ascii")
    path, _, query = target.partition("?")
    method = event.method.decode("ascii")
    path = unquote(path)
    try:
        match = _match(routes, method, path)
        body, trailers, truncated = await _read_body(wire, match.route, headers, limits)
    except _Refused as refusal:
        await _refuse(wire, limits, refusal.response)
        return False
    except trio.TooSlowError:
        await _refuse(wire, limits, text("The request body took too long\n", 408))
        return False
    request = Request(
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        params=match.params,
        trailers=trailers,
        truncated=truncated,
        peer=peer,
    )
    try:
        response = await _call(match.route.handler, request)
    except Hangup as hangup:
        await _hang_up(wire, hangup)
        return False
    await _answer(wire, response, limits, head=method == "HEAD")
    return not response.close


def _match(routes: Routes, method: str, path: str) -> Match:
    found = routes.find(method, path)
    if isinstance(found, NoMatch):
        if found.allowed:
            allow = ("Allow", ", ".join(found.allowed))
            raise _Refused(Response(status=405, content_type=None, headers=(allow,)))
        raise _Refused(text("Not Found", 404))
    return found


async def _read_body(wire: _Wire, route: Route, headers: Headers, limits: Limits) -> tuple[bytes, Headers, bool]:
    connection = wire.connection
    length = headers.get("content-length")
    over = length is not None and int(length) > route.max_body
    if over and route.oversize is Oversize.REFUSE:
        raise _Refused(text("length limit exceeded", 413))
    if connection.they_are_waiting_for_100_continue:
        go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
        await wire.send(connection.send(go_on))
    deadline = trio.current_time() + limits.body_s
    parts: list[bytes] = []
    size = 0
    while True:
        event = await wire.next_event(deadline)
        if isinstance(event, h11.Data):
            size += len(event.data)
            if size <= route.max_body:
                parts.append(bytes(event.data))
                continue
            parts.clear()
            over = True
            if route.oversize is Oversize.REFUSE or size > limits.discard_bytes:
                raise _Refused(text("length limit exceeded", 413))
        elif isinstance(event, h11.EndOfMessage):
            trailers = Headers([(n.decode("ascii"), v.decode("latin-1")) for n, v in event.headers])
            return (b"" if over else b"".join(parts)), trailers, over
        else:
            raise trio.BrokenResourceError("the client closed the connection inside a body")


async def _call(handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    try:
        return await handler(request)
    except Hangup:
        raise
    except Exception as error:
        log.error("http_handler_failed", method=request.method, path=request.path, exc_info=error)
        return text("Internal error\n", 500)


async def _refuse(wire: _Wire, limits: Limits, response: Response) -> None:
    """Answer before the request was read to its end, then close so that the client can still read the answer."""
    response.close = True
    await _answer(wire, response, limits, head=False)
    # Closing with unread data makes the kernel send RST, which can destroy the answer on its way: read a little first.
    with trio.move_on_after(0.5):
        await wire.stream.send_eof()
        for _ in range(64):
            if not await wire.stream.receive_some(receive_bytes):
                break


async def _answer(wire: _Wire, response: Response, limits: Limits, *, head: bool) -> None:
    connection = wire.connection
    headers: list[tuple[str, str]] = list(response.headers)
    if response.content_type is not None:
        headers.append(("Content-Type", response.content_type))
    if response.stream is None:
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(response.body))))
    else:
        headers.append(("Transfer-Encoding", "chunked"))
    if response.close:
        headers.append(("Connection", "close"))
    reason = _reason(response.status)
    start = connection.send(h11.Response(status_code=response.status, headers=headers, reason=reason)) or b""
    with trio.fail_after(limits.answer_s):
        if response.stream is None:
            body = b"" if head or not response.body else connection.send(h11.Data(data=response.body)) or b""
            try:
                end = connection.send(h11.EndOfMessage()) or b""
            except h11.LocalProtocolError:
                # A server that plays a broken peer said a longer Content-Length than it sends.
                await wire.send(start + body)
                raise trio.BrokenResourceError("the answer was shorter than announced") from None
            await wire.send(start + body + end)
            return
        await wire.send(start)
    if response.body:
        await wire.send(connection.send(h11.Data(data=response.body)))
    async for chunk in response.stream:
        if chunk:
            await wire.send(connection.send(h11.Data(data=chunk)))
    await wire.send(connection.send(h11.EndOfMessage()))


async def _hang_up(wire: _Wire, hangup: Hangup) -> None:
    await wire.send(hangup.sent)
    if hangup.reset and isinstance(wire.stream, trio.SocketStream):
        # Zero linger: close(2) drops what is unsent and answers with RST.
        wire.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""


def _peer(stream: object) -> str:
    if isinstance(stream, trio.SocketStream):
        try:
            name: Any = stream.socket.getpeername()
        except OSError:
            return ""
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix"
    return ""
