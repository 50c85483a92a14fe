"""A socket that receives and one that sends, and waiting for what threads do with them."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import trio

Send = Callable[[bytes], object]


@contextmanager
def a_pair() -> Generator[tuple[socket.socket, Send]]:
    """A receiving socket, and what sends to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending,
    ):
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiving.bind(("127.0.0.1", 0))
        sending.connect(receiving.getsockname())
        yield receiving, sending.send


def is_empty(receiving: socket.socket | trio.socket.SocketType) -> bool:
    """No datagram lies in it, but for empty ones."""
    return struct.unpack("i", fcntl.ioctl(receiving.fileno(), termios.FIONREAD, bytes(4))) == (0,)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)
