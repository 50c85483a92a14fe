"""Streams that go wrong at one point: they hang or break once so many bytes have passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from trio.testing import memory_stream_pair

hang: Final = "hang"
break_: Final = "break"


class FaultyStream(trio.abc.HalfCloseableStream):
    """Wraps a stream. After `receive_bytes` or `send_bytes` (None: never) it hangs, or raises BrokenResourceError."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        *,
        fault: str = break_,
        receive_bytes: int | None = None,
        send_bytes: int | None = None,
    ) -> None:
        self._stream = stream
        self._fault = fault
        self._receive_left = receive_bytes
        self._send_left = send_bytes

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._receive_left is None:
            return bytes(await self._stream.receive_some(max_bytes))
        if self._receive_left <= 0:
            await self._go_wrong()
        data = bytes(await self._stream.receive_some(min(max_bytes or 65536, self._receive_left)))
        self._receive_left -= len(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._send_left is None:
            return await self._stream.send_all(data)
        passed = bytes(data)[: self._send_left]
        self._send_left -= len(passed)
        await self._stream.send_all(passed)
        if len(passed) < len(data):
            await self._go_wrong()
        return None

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _go_wrong(self) -> None:
        if self._fault == hang:
            await trio.sleep_forever()
        raise trio.BrokenResourceError("broken by the test")


def memory_streams() -> tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]:
    """Two ends of a connection without a socket, which a MockClock cannot race."""
    return memory_stream_pair()


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """What comes until the end of the stream, a reset included."""
    data = b""
    try:
        while part := await stream.receive_some(65536):
            data += bytes(part)
    except trio.BrokenResourceError:
        pass
    return data


async def read_until(stream: trio.abc.ReceiveStream, is_enough: Callable[[bytes], bool]) -> bytes:
    """What comes until `is_enough` says so; fails at the end of the stream."""
    data = b""
    while not is_enough(data):
        part = await stream.receive_some(65536)
        assert part, f"the stream ended after {data!r}"
        data += bytes(part)
    return data
