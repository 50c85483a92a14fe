"""HTTP/1.1 with one client as h11 has it: events in, answers out. What the plainest requests go past, see `plain`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import h11
import trio

from .bounds import Bounds, Share
from .message import Hangup, Response, text
from .plain import reason
from .wire import Patience, Stream, Wire, linger_s


class Conversation:
    """A connection's wire, its h11 state, and its share of what the server counts."""

    def __init__(self, stream: Stream, bounds: Bounds) -> None:
        self.wire = Wire(stream)
        self.peer = self.wire.peer()
        self.limits = bounds.limits
        self.grace = bounds.grace
        self.share = Share(bounds)
        self._places = bounds.places
        self._h11: h11.Connection | None = None
        self._is_fresh = True

    @property
    def h11(self) -> h11.Connection:
        """Made when a request first needs it."""
        if self._h11 is None:
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self.limits.header_bytes)
        return self._h11

    @property
    def has_leftover(self) -> bool:
        """Whether bytes behind the last request have been read already."""
        return self._h11 is not None and bool(self._h11.trailing_data[0])

    @property
    def can_still_answer(self) -> bool:
        return self.h11.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    def is_ready_for_next(self) -> bool:
        """Whether another request may follow; if so h11 is ready for it."""
        connection = self._h11
        if connection is None or (connection.our_state is h11.IDLE and connection.their_state is h11.IDLE):
            return True  # it had nothing to do with this request
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return False
        connection.start_next_cycle()
        return True

    def tell_h11_of_plain_request(self) -> None:
        """A plain request is to be answered in another way than plainly: h11 is told of one like it."""
        self.h11.receive_data(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not isinstance(self.h11.next_event(), h11.EndOfMessage):
            pass

    async def first_bytes(self) -> bytes:
        """Wait for a request to begin. Nothing: nobody wants to make one any more."""
        if self._is_fresh:
            # Who connects does so to ask something at once.
            self._is_fresh = False
            data = self.wire.read_nowait()
            if data is not None:
                return data
        with self._places.idle(self.limits.idle_s):
            return await self.wire.read()
        return await self.wire.read_late()

    async def next_event(self, patience: Patience) -> Any:
        """Raises trio.TooSlowError, and h11.RemoteProtocolError for what is no HTTP."""
        while True:
            event = self.h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.h11.receive_data(await self.wire.receive(patience))

    async def let_go_on(self) -> None:
        """Tell a client that waits for leave (`Expect: 100-continue`) to send its body."""
        if self.h11.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))

    async def answer(self, response: Response, method: str) -> None:
        limits, stream = self.limits, response.stream
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
        phrase = reason(response.status).encode("ascii")
        data = self.h11.send(h11.Response(status_code=response.status, headers=headers, reason=phrase)) or b""
        if has_body and response.body:
            data += self.h11.send(h11.Data(data=response.body)) or b""
        if stream is None or not has_body:
            try:
                data += self.h11.send(h11.EndOfMessage()) or b""
            except h11.LocalProtocolError:
                # A server that plays a broken peer said a longer Content-Length than it sends.
                await self.wire.send(data, within_s=limits.answer_s)
                raise trio.BrokenResourceError("the answer was shorter than announced") from None
        await self.wire.send(data, within_s=limits.answer_s)
        if stream is not None:
            try:
                if has_body:
                    await self._send_stream(stream)
            finally:
                await _close(stream)

    async def refuse(self, response: Response, method: str = "", *, rest_s: float | None = None) -> None:
        """Answer before the request was read to its end, then close so that the client can still read the answer.

        It has `rest_s` to send the rest of its request; None: as long as any request's body may take. Nobody is to wait for that:
        its place counts as idle.
        """
        self.share.let_go_of_body()
        response.close = True
        await self.answer(response, method)
        self.share.end_request()
        # Closing with unread data makes the kernel send RST, which can destroy the answer on its way: read the rest first.
        with self._places.idle(self.limits.body_s if rest_s is None else rest_s):
            await self.wire.read_away(self.limits.discard_bytes)

    async def refuse_as_too_slow(self, part: str, method: str = "") -> None:
        await self.refuse(text(f"The request {part} took too long\n", 408), method, rest_s=linger_s)

    async def hang_up(self, hangup: Hangup) -> None:
        await self.wire.send(hangup.sent, within_s=self.limits.answer_s)
        if hangup.reset:
            self.wire.reset_when_closed()

    async def _send_stream(self, stream: AsyncIterator[bytes]) -> None:
        """The next chunk may take for ever to come (long polls), but the client must take it in time."""
        async for chunk in stream:
            if chunk:
                await self._send(h11.Data(data=chunk))
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        await self.wire.send(self.h11.send(event) or b"", within_s=self.limits.answer_s)


async def _close(stream: AsyncIterator[bytes]) -> None:
    """End an async generator that was not read to its end, here and now rather than when it is collected."""
    if isinstance(stream, AsyncGenerator):
        await stream.aclose()
