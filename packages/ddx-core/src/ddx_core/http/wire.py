"""The bytes of one connection: read and written past the scheduler wherever there is nothing to wait for.

Rule of this file: the process may be frozen for hours in the middle of a request. The first deadline of a request that passes
is therefore followed by one short second chance: what arrived during the freeze lies in the socket and is read at once.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Any, Final

import trio

receive_bytes: Final = 65536
# A sender that is as fast as we are must not keep the others waiting.
turn_bytes: Final = 1 << 20
second_chance_s: Final = 1.0
linger_s: Final = 1.0

Stream = trio.SocketStream | trio.abc.HalfCloseableStream


class Patience:
    """A deadline that is put off once, by `second_chance_s`."""

    __slots__ = ("_is_spent", "deadline")

    def __init__(self, seconds: float) -> None:
        self.deadline = trio.current_time() + seconds
        self._is_spent = False

    def put_off(self) -> None:
        """Raises trio.TooSlowError the second time."""
        if self._is_spent:
            raise trio.TooSlowError
        self._is_spent = True
        self.deadline = trio.current_time() + second_chance_s


class Wire:
    """A stream of bytes in both directions. Its methods raise trio.BrokenResourceError when the client has gone."""

    __slots__ = ("_fd", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        # Reading and writing past Trio's own methods saves a turn of the scheduler each.
        self._fd = stream.socket.fileno() if isinstance(stream, trio.SocketStream) and os.name == "posix" else -1

    def peer(self) -> str:
        """Who is at the other end: host:port, `unix`, or nothing when that is not known."""
        if isinstance(self._stream, trio.SocketStream):
            try:
                name: Any = self._stream.socket.getpeername()
            except OSError:
                return ""
            return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix"
        return ""

    async def receive(self, patience: Patience, most: int = receive_bytes) -> bytes:
        """Some bytes; none at the end. Raises trio.TooSlowError when patience is at its end."""
        while True:
            with trio.CancelScope(deadline=patience.deadline):
                return await self.read(most)
            patience.put_off()

    async def receive_exactly(self, begun: bytes, length: int, patience: Patience) -> bytes:
        """`length` bytes of which `begun` are here already, and not one more. Raises trio.TooSlowError."""
        parts = [begun]
        missing = length - len(begun)
        in_turn = 0
        while missing:
            most = min(missing, turn_bytes)
            data = self.read_nowait(most) if in_turn < turn_bytes else None
            if data is None:
                in_turn = 0
                data = await self.receive(patience, most)
            if not data:
                raise trio.BrokenResourceError("the client closed the connection inside a body")
            in_turn += len(data)
            missing -= len(data)
            parts.append(data)
        return b"".join(parts)

    async def read(self, most: int = receive_bytes) -> bytes:
        """Some bytes, whenever they come; none at the end."""
        if self._fd < 0:
            return bytes(await self._stream.receive_some(most))
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            data = self.read_nowait(most)
            if data is not None:
                return data

    async def read_late(self) -> bytes:
        """What a freeze has let pass its time, if it is here by now; else nothing."""
        with trio.move_on_after(second_chance_s):
            return await self.read()
        return b""

    def read_nowait(self, most: int = receive_bytes) -> bytes | None:
        """None: there is nothing at the moment. Nothing at all: the end."""
        if self._fd < 0:
            return None
        try:
            return os.read(self._fd, most)
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError("the client has gone") from error

    async def send(self, data: bytes, *, within_s: float) -> None:
        """Raises trio.TooSlowError when the client does not take it in time."""
        if data:
            with trio.fail_after(within_s):
                await self._stream.send_all(data)

    async def send_at_once(self, data: bytes, *, within_s: float) -> None:
        """The same, without waiting where the socket takes all of it, as it nearly always does with an answer."""
        sent = 0
        if self._fd >= 0:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                pass
            except OSError as error:
                raise trio.BrokenResourceError("the client has gone") from error
        if sent < len(data):
            with trio.fail_after(within_s):
                await self._stream.send_all(memoryview(data)[sent:])

    async def read_away(self, most: int) -> None:
        """Send nothing more, and take some `most` bytes that nobody wants, until the client has paused for `linger_s`."""
        await self._stream.send_eof()
        with suppress(trio.TooSlowError):
            while most > 0 and (data := await self.receive(Patience(linger_s))):
                most -= len(data)

    def reset_when_closed(self) -> None:
        """TCP: the client is to see RST instead of FIN."""
        if isinstance(self._stream, trio.SocketStream):
            # Zero linger: close(2) drops what is unsent and answers with RST.
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
