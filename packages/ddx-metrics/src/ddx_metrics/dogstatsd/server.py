"""Datagram receivers: one wake-up drains the socket, one call takes what came.

Rules of this file:
- Nothing is awaited between the socket and the aggregator.
- Under load a receiver sleeps between drains, so that a wake-up is paid for by hundreds of datagrams and not by three.
  It sleeps for as long as the kernel's buffer can safely stand in: flushes drain by themselves and never wait for that.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

import trio

from ddx_core import log

# The largest payload of a UDP datagram is 65,507 bytes, so nothing is ever cut.
max_datagram: Final = 65_535
_drain_datagrams: Final = 512
_drain_bytes: Final = 131_072
_largest_rcvbuf: Final = 1 << 30

# What the kernel charges for one small datagram, and the rate for which the pauses are made.
_charge_bytes: Final = 1_280
_design_rate: Final = 100_000
_longest_pause_s: Final = 0.02

TakeDatagrams = Callable[[list[bytes]], None]


class HasFileno(Protocol):
    """A bound socket; Trio's and the standard library's both will do."""

    def fileno(self) -> int: ...


class DatagramReceiver:
    """Hands what arrives on one socket to `take`, in lists. The socket stays its owner's to close."""

    def __init__(self, sock: HasFileno, take: TakeDatagrams) -> None:
        self._fd = sock.fileno()
        self._take = take
        os.set_blocking(self._fd, False)
        self._capacity = _receive_buffer(self._fd)
        # At the rate designed for, a quarter of the buffer fills in this time.
        self._pause_s = min(_longest_pause_s, self._capacity / _charge_bytes / _design_rate / 4)

    async def serve(self) -> None:
        """Receive until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            while self._drain_some(_drain_bytes):
                await trio.lowlevel.checkpoint()
            await trio.sleep(self._pause_s)

    def drain(self) -> None:
        """Take in what already lies in the socket, at most what its buffer can hold: a flood cannot keep this going."""
        left = self._capacity
        while left > 0 and self._drain_some(_drain_bytes):
            left -= _drain_datagrams * _charge_bytes

    def _drain_some(self, max_bytes: int) -> bool:
        """Read until the socket is empty or the round is full; True: it was full, so there may be more."""
        datagrams: list[bytes] = []
        append, read, fd = datagrams.append, os.read, self._fd
        left = max_bytes
        more = True
        try:
            while left > 0 and len(datagrams) < _drain_datagrams:
                datagram = read(fd, max_datagram)
                append(datagram)
                left -= len(datagram)
        except BlockingIOError:
            more = False
        except ConnectionError as error:
            # An ICMP error for something sent earlier from this socket's address: the datagrams behind it are fine.
            log.debug("dogstatsd_read_failed", error=error)
        if datagrams:
            self._take(datagrams)
        return more


def bind_dogstatsd(host: str, port: int, rcvbuf: int | None = None) -> trio.socket.SocketType:
    """A UDP socket bound to an IP address. Raises OSError.

    `rcvbuf` is the receive buffer to ask for, in bytes; None asks for as much as the kernel lets this process have, so
    that bursts survive while the process does not run. (Linux grants at most net.core.rmem_max and uses twice that.)
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _ask_for_buffer(sock, _largest_rcvbuf if rcvbuf is None else rcvbuf)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return trio.socket.from_stdlib_socket(sock)


def _ask_for_buffer(sock: socket.socket, wanted: int) -> None:
    """Linux caps the request by itself; other kernels refuse one that is too large, so it is halved until it is taken."""
    while wanted >= 65_536:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
            return
        except OSError:
            wanted //= 2


def _receive_buffer(fd: int) -> int:
    """The size of a socket's receive buffer, in bytes."""
    sock = socket.socket(fileno=os.dup(fd))
    try:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    finally:
        sock.close()
