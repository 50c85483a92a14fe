"""Sends batches of events to a subscriber's listener, over HTTP (one kept connection) or TCP.

A listener may be slow, dead, or frozen together with its sandbox: an attempt's time limit runs only while that does. Over
HTTP a failed batch is tried again with back-off. What is not delivered is the caller's to count as dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import h11
import trio

from .frozen_time import FreezableLimit, Gate
from .subscription import Destination

host = "127.0.0.1"
"""What `sandbox.localdomain` and `sandbox` stand for."""

attempt_s = 5.0
backoff_s: Sequence[float] = (0.1, 0.2, 0.4, 0.8)


class NotDelivered(Exception):
    """All attempts failed; the text says how the last one did."""


class HttpPoster:
    """POSTs JSON bodies to one listener. A kept connection that turns out dead is replaced without losing an attempt."""

    def __init__(self, destination: Destination, gate: Gate) -> None:
        self._gate = gate
        self._port = destination.port
        self._path = destination.path or "/"
        self._stream: trio.SocketStream | None = None
        self._connection = h11.Connection(h11.CLIENT)
        self.limit: FreezableLimit | None = None

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def send(self, body: bytes) -> None:
        """Deliver, or raise NotDelivered."""
        problem = ""
        for pause in (*backoff_s, None):
            await self._gate.wait_open()
            try:
                problem = await self._attempt(body)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError) as error:
                problem = str(error.__cause__ or error) or type(error).__name__
                await self.aclose()
            if not problem:
                return
            if pause is not None:
                await trio.sleep(pause)
        raise NotDelivered(problem)

    async def _attempt(self, body: bytes) -> str:
        self.limit = FreezableLimit(attempt_s)
        try:
            with self.limit.scope:
                status = await self._post_on_kept_connection(body)
                if status is None:
                    status = await self._post(body)
                return "" if status < 400 else f"the listener answered {status}"
        finally:
            self.limit = None
        await self.aclose()
        return f"no answer within {attempt_s:g} s"

    async def _post_on_kept_connection(self, body: bytes) -> int | None:
        if self._stream is None:
            return None
        try:
            return await self._post(body)
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
            await self.aclose()
            return None

    async def _post(self, body: bytes) -> int:
        if self._stream is None:
            self._stream = await trio.open_tcp_stream(host, self._port)
            self._connection = h11.Connection(h11.CLIENT)
        headers = [
            ("Host", f"sandbox.localdomain:{self._port}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        connection = self._connection
        head = connection.send(h11.Request(method="POST", target=self._path, headers=headers)) or b""
        await self._stream.send_all(head + connection.send(h11.Data(data=body)) + connection.send(h11.EndOfMessage()))
        status = 0
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await self._stream.receive_some(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.Data | h11.InformationalResponse):
                raise trio.BrokenResourceError("the listener closed the connection")
        if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
            connection.start_next_cycle()
        else:
            await self.aclose()
        return status


class TcpWriter:
    """Writes newline-delimited JSON. Nothing is acknowledged: what a broken connection held is lost."""

    def __init__(self, destination: Destination, gate: Gate) -> None:
        self._gate = gate
        self._port = destination.port
        self._stream: trio.SocketStream | None = None
        self.limit: FreezableLimit | None = None

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def send(self, body: bytes) -> None:
        await self._gate.wait_open()
        self.limit = FreezableLimit(attempt_s)
        try:
            with self.limit.scope:
                if self._stream is None:
                    self._stream = await trio.open_tcp_stream(host, self._port)
                await self._stream.send_all(body)
                return
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            await self.aclose()
            raise NotDelivered(str(error)) from error
        finally:
            self.limit = None
        await self.aclose()
        raise NotDelivered("the listener does not read")
