"""One connection: h11 over a stream, request after request, every size and time limited.

Rules of this file:
- A limit that is passed is answered where that is still possible, then the connection closes.
- The process may be frozen for hours in the middle of a request. The first deadline of a request that passes is therefore
  followed by one short second chance: what arrived during the freeze lies in the socket and is read at once.
- Bodies are held in memory whole, so all connections of a server share one bound on their bytes.
- The plainest requests go past h11 (`plain`), which costs more than all the rest of them. h11 decides in every doubtful case:
  nothing is done with a request before it is known which of the two has it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final
from urllib.parse import unquote

import h11
import trio

from .. import log
from .bounds import Activity, Limits, Load
from .message import Hangup, Headers, Request, Response, text
from .plain import PlainRequest, parse_request, reason, render_answer
from .routes import Handler, Match, NoMatch, Oversize, Route, Routes

receive_bytes: Final = 65536
# A sender that is as fast as we are must not keep the others waiting.
turn_bytes: Final = 1 << 20
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
    wire = _Wire(stream, limits, activity or Activity(), load or Load())
    try:
        while True:
            try:
                answered = await _one_request(wire, routes, peer)
            except h11.RemoteProtocolError as error:
                if wire.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await _refuse(wire, text(f"Bad request: {error}\n", error.error_status_hint or 400))
                return
            finally:
                wire.end_request()
            if not answered or not wire.is_ready_for_next():
                return
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

    def __init__(self, stream: Any, limits: Limits, activity: Activity, load: Load) -> None:
        self.stream = stream
        # Reading and writing past Trio's own methods saves a turn of the scheduler each.
        self._fd = stream.socket.fileno() if isinstance(stream, trio.SocketStream) and os.name == "posix" else -1
        self._connection: h11.Connection | None = None
        self._is_fresh = True
        self.limits = limits
        self.load = load
        self._activity = activity
        self._in_request = False
        self._body_bytes = 0

    @property
    def connection(self) -> h11.Connection:
        """Made when a request first needs it."""
        if self._connection is None:
            self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=self.limits.header_bytes)
        return self._connection

    @property
    def has_leftover(self) -> bool:
        """Whether bytes behind the last request have been read already."""
        return self._connection is not None and bool(self._connection.trailing_data[0])

    def is_ready_for_next(self) -> bool:
        connection = self._connection
        if connection is None or (connection.our_state is h11.IDLE and connection.their_state is h11.IDLE):
            return True  # it had nothing to do with this request
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return False
        connection.start_next_cycle()
        return True

    def bring_in_h11(self) -> None:
        """A plain request is to be answered in another way than plainly: h11 is told of one like it."""
        self.connection.receive_data(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not isinstance(self.connection.next_event(), h11.EndOfMessage):
            pass

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

    def can_hold(self, size: int) -> bool:
        """Whether `hold` would not refuse."""
        others = self.load.body_bytes - self._body_bytes
        return not others or self.load.body_bytes + size <= self.limits.bodies_bytes

    def let_go_of_body(self) -> None:
        self.load.body_bytes -= self._body_bytes
        self._body_bytes = 0

    async def next_event(self, patience: _Patience) -> Any:
        while True:
            event = self.connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.connection.receive_data(await self._receive(patience))

    async def first_bytes(self) -> bytes:
        """Wait for a request to begin. Nothing: nobody wants to make one any more."""
        if self._is_fresh:
            # Who connects does so to ask something at once.
            self._is_fresh = False
            data = self._read_nowait(receive_bytes)
            if data is not None:
                return data
        with self.load.idle(self.limits.idle_s):
            return await self._read(receive_bytes)
        with trio.move_on_after(second_chance_s):
            return await self._read(receive_bytes)
        return b""

    async def body(self, begun: bytes, length: int) -> bytes:
        """A body of which `begun` is here already, to its end and not a byte further."""
        parts = [begun]
        missing = length - len(begun)
        patience = _Patience(self.limits.body_s)
        in_turn = 0
        while missing:
            most = min(missing, turn_bytes)
            data = self._read_nowait(most) if in_turn < turn_bytes else None
            if data is None:
                in_turn = 0
                data = await self._receive(patience, most)
            if not data:
                raise trio.BrokenResourceError("the client closed the connection inside a body")
            in_turn += len(data)
            missing -= len(data)
            parts.append(data)
        return b"".join(parts)

    async def _receive(self, patience: _Patience, most: int = receive_bytes) -> bytes:
        while True:
            with trio.CancelScope(deadline=patience.deadline):
                return await self._read(most)
            patience.put_off()

    async def _read(self, most: int) -> bytes:
        if self._fd < 0:
            return await self.stream.receive_some(most)
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            data = self._read_nowait(most)
            if data is not None:
                return data

    def _read_nowait(self, most: int) -> bytes | None:
        """None: there is nothing at the moment. Nothing at all: the end."""
        if self._fd < 0:
            return None
        try:
            return os.read(self._fd, most)
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError("the client has gone") from error

    async def send_plain(self, data: bytes) -> None:
        """Send an answer, at once where the socket takes it whole, as it does nearly always."""
        sent = 0
        if self._fd >= 0:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                pass
            except OSError as error:
                raise trio.BrokenResourceError("the client has gone") from error
        if sent < len(data):
            with trio.fail_after(self.limits.answer_s):
                await self.stream.send_all(memoryview(data)[sent:])

    async def send(self, data: bytes | None) -> None:
        if data:
            await self.stream.send_all(data)


async def _one_request(wire: _Wire, routes: Routes, peer: str) -> bool:
    """Read one request and answer it. False: there was none (the client has gone) or the connection must close."""
    limits = wire.limits
    leftover = wire.has_leftover
    if not leftover:
        # Between requests a client may be silent for long; once its first byte is here the header must follow soon.
        data = await wire.first_bytes()
        if not data:
            return False
        wire.begin_request()
        plain = parse_request(data, max_bytes=limits.header_bytes)
        if plain is not None:
            method, target, _, length, _ = plain
            path, query = _split_target(target)
            match = routes.find(method, path)
            if isinstance(match, Match) and length <= match.route.max_body and wire.can_hold(length):
                return await _plain_request(wire, match, plain, data, path, query, peer)
        wire.connection.receive_data(data)
    connection = wire.connection
    event: Any = connection.next_event()
    if event is h11.NEED_DATA:
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
    path, query = _split_target(event.target.decode("ascii"))
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
    return await _handle(wire, match, request, is_plain=False)


async def _plain_request(
    wire: _Wire, match: Match, plain: PlainRequest, data: bytes, path: str, query: str, peer: str
) -> bool:
    """The same for a request that is plain; `data` begins with it. No body too large gets here."""
    method, _, fields, length, begin = plain
    wire.hold(length)
    body = data[begin:]
    body_s = 0.0
    if len(body) < length:
        began = trio.current_time()
        try:
            body = await wire.body(body, length)
        except trio.TooSlowError:
            wire.bring_in_h11()
            await _refuse(wire, text("The request body took too long\n", 408), method)
            return False
        body_s = trio.current_time() - began
    request = Request(
        method=method,
        path=path,
        query=query,
        headers=Headers(fields),
        body=body,
        params=match.params,
        body_s=body_s,
        peer=peer,
    )
    return await _handle(wire, match, request, is_plain=True)


async def _handle(wire: _Wire, match: Match, request: Request, *, is_plain: bool) -> bool:
    """Have a request that was read answered, without h11 where it came without it. False: the connection must close."""
    with wire.load.request_in_hand():
        try:
            response = await _call(match.route.handler, request)
        except Hangup as hangup:
            await _hang_up(wire, hangup)
            return False
        if is_plain:
            answer = render_answer(response)
            if answer is not None:
                await wire.send_plain(answer)
                return True
            wire.bring_in_h11()
        await _answer(wire, response, request.method)
    return not response.close


def _split_target(target: str) -> tuple[str, str]:
    """The decoded path and the raw query. A target with scheme and host (as to a proxy) counts from its path on."""
    if target[:7].lower() == "http://":
        target = "/" + target[7:].partition("/")[2]
    path, _, query = target.partition("?")
    return unquote(path) if "%" in path else path, query


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
        raise _too_long(route)
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
                raise _too_long(route)
        elif isinstance(event, h11.EndOfMessage):
            trailers = Headers([(n.decode("ascii"), v.decode("latin-1")) for n, v in event.headers])
            return (b"" if over else b"".join(parts)), trailers, over
        else:
            raise trio.BrokenResourceError("the client closed the connection inside a body")


def _too_long(route: Route) -> _Refused:
    return _Refused(text(route.too_large, 413))


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
    head = h11.Response(status_code=response.status, headers=headers, reason=reason(response.status).encode("ascii"))
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


def _peer(stream: object) -> str:
    if isinstance(stream, trio.SocketStream):
        try:
            name: Any = stream.socket.getpeername()
        except OSError:
            return ""
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix"
    return ""
