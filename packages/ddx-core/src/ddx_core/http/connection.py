"""One connection: h11 over a stream, request after request, every size and time limited.

Rules of this file:
- A limit that is passed is answered where that is still possible, then the connection closes.
- The process may be frozen for hours in the middle of a request. The first deadline of a request that passes is therefore
  followed by one short second chance: what arrived during the freeze lies in the socket and is read at once.
- Bodies are held in memory whole, so all connections of a server share one bound on their bytes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import h11
import trio

from .. import log
from .bounds import Activity, Limits, Load
from .message import Hangup, Headers, Request, Response, text
from .routes import Handler, NoMatch, Oversize, Route, Routes

receive_bytes: Final = 65536
second_chance_s: Final = 1.0
linger_s: Final = 1.0


class _Refused(Exception):
    """The request ends here with this answer, and the connection with it."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


async def serve_stream(
    stream: trio.SocketStream | trio.abc.HalfCloseableStream,
    routes: Routes,
    *,
    limits: Limits,
    activity: Activity | None = None,
    load: Load | None = None,
) -> None:
    """Serve one connection until either side ends it. The caller closes the stream."""
    peer = _peer(stream)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
    wire = _Wire(stream, connection, limits, activity or Activity(), load or Load())
    try:
        while True:
            try:
                answered = await _one_request(wire, routes, peer)
            except h11.RemoteProtocolError as error:
                if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await _refuse(wire, text(f"Bad request: {error}\n", error.error_status_hint or 400))
                return
            finally:
                wire.end_request()
            if not answered or connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        return


class _Patience:
    """A deadline that is put off once, by `second_chance_s`."""

    __slots__ = ("_is_spent", "deadline")

    def __init__(self, seconds: float) -> None:
        self.deadline = trio.current_time() + seconds
        self._is_spent = False

    def put_off(self) -> None:
        if self._is_spent:
            raise trio.TooSlowError
        self._is_spent = True
        self.deadline = trio.current_time() + second_chance_s


class _Wire:
    """A stream, its h11 state, and this connection's share of what the server counts."""

    def __init__(self, stream: Any, connection: h11.Connection, limits: Limits, activity: Activity, load: Load) -> None:
        self.stream = stream
        self.connection = connection
        self.limits = limits
        self.load = load
        self._activity = activity
        self._in_request = False
        self._body_bytes = 0

    def begin_request(self) -> None:
        if not self._in_request:
            self._in_request = True
            self._activity.begin()

    def end_request(self) -> None:
        self.let_go_of_body()
        if self._in_request:
            self._in_request = False
            self._activity.end()

    def hold(self, size: int) -> None:
        """Count bytes of this request's body. Raises _Refused when all bodies together have become too much."""
        others = self.load.body_bytes - self._body_bytes
        self._body_bytes += size
        self.load.body_bytes += size
        if others and self.load.body_bytes > self.limits.bodies_bytes:
            raise _Refused(Response(status=429, body=b"too many bodies at once\n", headers=(("Retry-After", "1"),)))

    def let_go_of_body(self) -> None:
        self.load.body_bytes -= self._body_bytes
        self._body_bytes = 0

    async def next_event(self, patience: _Patience) -> Any:
        while True:
            event = self.connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.connection.receive_data(await self._receive(patience))

    async def first_bytes(self) -> bool:
        """Wait for a request to begin. False: nobody wants to make one any more."""
        with self.load.idle(self.limits.idle_s):
            self.connection.receive_data(await self.stream.receive_some(receive_bytes))
            return True
        with trio.move_on_after(second_chance_s):
            self.connection.receive_data(await self.stream.receive_some(receive_bytes))
            return True
        return False

    async def _receive(self, patience: _Patience) -> bytes:
        while True:
            with trio.CancelScope(deadline=patience.deadline):
                return await self.stream.receive_some(receive_bytes)
            patience.put_off()

    async def send(self, data: bytes | None) -> None:
        if data:
            await self.stream.send_all(data)


async def _one_request(wire: _Wire, routes: Routes, peer: str) -> bool:
    """Read one request and answer it. False: there was none (the client has gone) or the connection must close."""
    connection, limits = wire.connection, wire.limits
    leftover = bool(connection.trailing_data[0])
    event: Any = connection.next_event()
    if event is h11.NEED_DATA:
        # Between requests a client may be silent for long; once its first byte is here the header must follow soon.
        if not leftover and not await wire.first_bytes():
            return False
        wire.begin_request()
        try:
            event = await wire.next_event(_Patience(limits.header_s))
        except trio.TooSlowError:
            await _refuse(wire, text("The request header took too long\n", 408))
            return False
    wire.begin_request()
    if not isinstance(event, h11.Request):
        return False
    headers = Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers])
    method = event.method.decode("ascii")
    path, query = _split(event.target.decode("ascii"))
    try:
        match = routes.find(method, path)
        if isinstance(match, NoMatch):
            return await _answer_no_match(wire, match, method, headers)
        header_at = trio.current_time()
        body, trailers, truncated = await _read_body(wire, match.route, headers)
        body_s = trio.current_time() - header_at
    except _Refused as refusal:
        await _refuse(wire, refusal.response, method)
        return False
    except trio.TooSlowError:
        await _refuse(wire, text("The request body took too long\n", 408), method)
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
        body_s=body_s,
        peer=peer,
    )
    try:
        response = await _call(match.route.handler, request)
    except Hangup as hangup:
        await _hang_up(wire, hangup)
        return False
    await _answer(wire, response, method)
    return not response.close


def _split(target: str) -> tuple[str, str]:
    """The decoded path and the raw query. A target with scheme and host (as to a proxy) counts from its path on."""
    if target[:7].lower() == "http://":
        target = "/" + target[7:].partition("/")[2]
    path, _, query = target.partition("?")
    return unquote(path), query


async def _answer_no_match(wire: _Wire, found: NoMatch, method: str, headers: Headers) -> bool:
    if found.allowed:
        response = Response(status=405, content_type=None, headers=(("Allow", ", ".join(found.allowed)),))
    else:
        response = text("Not Found", 404)
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        raise _Refused(response)  # its body is not worth reading
    await wire.next_event(_Patience(wire.limits.body_s))
    await _answer(wire, response, method)
    return True


async def _read_body(wire: _Wire, route: Route, headers: Headers) -> tuple[bytes, Headers, bool]:
    connection, limits = wire.connection, wire.limits
    length = headers.get("content-length")
    over = length is not None and int(length) > route.max_body
    if over and route.oversize is Oversize.REFUSE:
        raise _too_long()
    if length is not None and not over:
        wire.hold(int(length))
    if connection.they_are_waiting_for_100_continue:
        go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
        await wire.send(connection.send(go_on))
    patience = _Patience(limits.body_s)
    parts: list[bytes] = []
    size = 0
    while True:
        event = await wire.next_event(patience)
        if isinstance(event, h11.Data):
            size += len(event.data)
            if not over and size <= route.max_body:
                if length is None:
                    wire.hold(len(event.data))
                parts.append(bytes(event.data))
                continue
            parts.clear()
            wire.let_go_of_body()
            over = True
            if route.oversize is Oversize.REFUSE or size > limits.discard_bytes:
                raise _too_long()
        elif isinstance(event, h11.EndOfMessage):
            trailers = Headers([(n.decode("ascii"), v.decode("latin-1")) for n, v in event.headers])
            return (b"" if over else b"".join(parts)), trailers, over
        else:
            raise trio.BrokenResourceError("the client closed the connection inside a body")


def _too_long() -> _Refused:
    return _Refused(text("length limit exceeded", 413))


async def _call(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except Hangup:
        raise
    except Exception as error:
        log.error("http_handler_failed", method=request.method, path=request.path, exc_info=error)
        return text("Internal error\n", 500)


async def _refuse(wire: _Wire, response: Response, method: str = "") -> None:
    """Answer before the request was read to its end, then close so that the client can still read the answer."""
    wire.let_go_of_body()
    response.close = True
    await _answer(wire, response, method)
    # Closing with unread data makes the kernel send RST, which can destroy the answer on its way: read the rest first.
    with trio.move_on_after(linger_s):
        await wire.stream.send_eof()
        size = 0
        while size < wire.limits.discard_bytes and (data := await wire.stream.receive_some(receive_bytes)):
            size += len(data)


async def _answer(wire: _Wire, response: Response, method: str) -> None:
    connection, limits, stream = wire.connection, wire.limits, response.stream
    headers: list[tuple[str, str]] = list(response.headers)
    if response.content_type is not None:
        headers.append(("Content-Type", response.content_type))
    has_body = method not in ("HEAD", "CONNECT") and response.status not in (204, 304)
    if stream is not None:
        headers.append(("Transfer-Encoding", "chunked"))
    elif response.status != 204 and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(response.body))))
    if response.close:
        headers.append(("Connection", "close"))
    head = h11.Response(status_code=response.status, headers=headers, reason=_reason(response.status))
    data = connection.send(head) or b""
    if has_body and response.body:
        data += connection.send(h11.Data(data=response.body)) or b""
    if stream is None or not has_body:
        try:
            data += connection.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:
            # A server that plays a broken peer said a longer Content-Length than it sends.
            await wire.send(data)
            raise trio.BrokenResourceError("the answer was shorter than announced") from None
    with trio.fail_after(limits.answer_s):
        await wire.send(data)
    if stream is not None:
        try:
            if has_body:
                await _send_stream(wire, stream)
        finally:
            await _close(stream)


async def _send_stream(wire: _Wire, stream: AsyncIterator[bytes]) -> None:
    """The next chunk may take for ever to come (long polls), but the client must take it in time."""
    async for chunk in stream:
        if chunk:
            with trio.fail_after(wire.limits.answer_s):
                await wire.send(wire.connection.send(h11.Data(data=chunk)))
    with trio.fail_after(wire.limits.answer_s):
        await wire.send(wire.connection.send(h11.EndOfMessage()))


async def _close(stream: AsyncIterator[bytes]) -> None:
    """End an async generator that was not read to its end, here and now rather than when it is collected."""
    if isinstance(stream, AsyncGenerator):
        await stream.aclose()


async def _hang_up(wire: _Wire, hangup: Hangup) -> None:
    with trio.fail_after(wire.limits.answer_s):
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
