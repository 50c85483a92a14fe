"""Datagram receivers: one wake-up drains the socket, one call takes what came.

Rules of this file:
- Nothing is awaited between the socket and the aggregator.
- While more and more comes, a receiver sleeps between drains, so that a wake-up is paid for by many datagrams and not by
  three. It sleeps for as long as the kernel's buffer can safely stand in, and asks the kernel to be woken only when a look
  after that found nothing. When that goes on, it is a load: a thread reads (bulk_reader.py) until it is over.
- Flushes drain by themselves and never wait for any of it. Beside what the thread has read, which is bounded and some
  milliseconds old, the kernel's buffer is the only queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import repeat
from typing import Final, Protocol

import trio

from ddx_core import log

from ..settings import ReceiverSettings, whole_datagrams
from .bulk_reader import BulkReader, charge_bytes
from .framing import CountCut, cut_unfinished, whole_lines

_chunk_datagrams: Final = 32
_round_bytes: Final = 131_072
_most_bytes_at_once: Final = 2 * _round_bytes
_largest_rcvbuf: Final = 1 << 30

_least_charge_bytes: Final = 512
# systemd raises net.unix.max_dgram_qlen from 10 to 512.
_longest_unix_queue: Final = 1_024
# The rate for which the pauses are made.
_design_rate: Final = 100_000
_longest_pause_s: Final = 0.02
# Who asks for a buffer of a few datagrams loses some, but does not get a processor kept busy for that.
_shortest_pause_s: Final = 0.0002

# A load is what goes on through so many looks, and it is over when so little comes in so many seconds.
_lasting_looks: Final = 8
_least_load: Final = 16
_longest_wait_s: Final = 0.1

TakeDatagrams = Callable[[list[bytes]], None]


class _Drained(Enum):
    """How a round of reading ended: the socket was empty from the start, is empty now, or may hold more."""

    NOTHING = 0
    ALL = 1
    PART = 2


class HasFileno(Protocol):
    """A bound socket; Trio's and the standard library's both will do."""

    def fileno(self) -> int: ...


def _ignore(reason: str, size: int) -> None:
    pass


class DatagramReceiver:
    """Hands what arrives on one socket to `take`, in lists. The socket stays its owner's to close."""

    def __init__(
        self,
        sock: HasFileno,
        take: TakeDatagrams,
        *,
        settings: ReceiverSettings | None = None,
        count_cut: CountCut = _ignore,
    ) -> None:
        self._settings = settings or ReceiverSettings()
        self._sock = sock  # whoever has no other use for it need not keep it
        self._fd = sock.fileno()
        self._take = take
        self._count_cut = count_cut
        self._bulk: BulkReader | None = None
        self._can_bulk = True
        os.set_blocking(self._fd, False)
        self._capacity, is_unix = _about(self._fd)
        self._charge_a_byte = 1
        if is_unix:
            # Its datagrams are charged to their senders: what it can hold is a number of them, however long.
            self._capacity, self._charge_a_byte = _longest_unix_queue * _least_charge_bytes, 0
        # The payload of a UDP datagram is at most 65,507 bytes; those of Unix sockets may be larger than any buffer.
        self._may_cut = is_unix or self._settings.max_bytes < whole_datagrams
        # At the rate designed for, a quarter of the buffer fills in this time. A Unix socket holds as few as ten datagrams,
        # however short (net.unix.max_dgram_qlen), and its senders wait or lose what does not fit.
        quarter_s = self._capacity / charge_bytes / _design_rate / 4
        self._pause_s = 0.0 if is_unix else min(max(quarter_s, _shortest_pause_s), _longest_pause_s)

    async def serve(self) -> None:
        """Receive until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            looks = 0
            while (drained := self._drain_some()[0]) is not _Drained.NOTHING:
                looks += 1
                if self._pause_s and self._can_bulk and looks >= _lasting_looks:
                    await self._serve_load()
                    looks = 0
                elif drained is _Drained.PART:
                    await trio.lowlevel.checkpoint()
                elif self._pause_s:
                    await trio.sleep(self._pause_s)
                else:
                    break

    async def _serve_load(self) -> None:
        """Let a thread read, until little comes any more."""
        token = trio.lowlevel.current_trio_token()
        enough = trio.Event()
        bulk = BulkReader(
            self._fd,
            max_bytes=self._settings.max_bytes + 1,
            capacity=self._capacity,
            pause_s=self._pause_s,
            tell_enough=lambda: token.run_sync_soon(enough.set),
        )
        self._bulk = bulk
        try:
            with bulk:
                while not bulk.begin():
                    if bulk.has_failed:
                        self._can_bulk = False
                        return
                    self._drain_some()
                    await trio.sleep(self._pause_s)
                while True:
                    with trio.move_on_after(_longest_wait_s):
                        await enough.wait()
                    had_enough, enough = enough.is_set(), trio.Event()
                    count, _ = self._collect(bulk)
                    while bulk.has_enough:
                        await trio.lowlevel.checkpoint()
                        self._collect(bulk)
                    if count < _least_load and not had_enough:
                        return
        finally:
            self._bulk = None
            while (waiting := bulk.collect())[0]:
                for datagrams in self._in_steps(waiting):
                    self._hand_over(datagrams)

    def _collect(self, bulk: BulkReader) -> tuple[int, int]:
        """Take in what is worth a turn; returns how many datagrams, and what the kernel charged for them at least, in bytes."""
        bulk.read()
        waiting = bulk.collect()
        for datagrams in self._in_steps(waiting):
            self._hand_over(datagrams)
            bulk.read()
        count, size = len(waiting[0]), waiting[1]
        return count, size + _least_charge_bytes * count

    def _in_steps(self, waiting: tuple[list[bytes], int]) -> Iterator[list[bytes]]:
        datagrams, size = waiting
        # Lines take several times the memory of the long datagrams that they came in.
        step = min(self._settings.round_datagrams, 1 + _most_bytes_at_once * len(datagrams) // max(1, size))
        for first in range(0, len(datagrams), step):
            yield datagrams[first : first + step]

    def drain(self) -> None:
        """Take in what already lies in the socket, about as much as its buffer can hold: a flood cannot keep this going."""
        bulk = self._bulk
        if bulk is not None and bulk.is_reading:
            # What waits with the thread comes first, and may have left no room for what lies in the socket.
            left = self._capacity + bulk.most_bytes + _least_charge_bytes * bulk.most_datagrams
            count = 1
            while count and left > 0:
                count, charge = self._collect(bulk)
                left -= charge
            return
        left = self._capacity
        drained = _Drained.PART
        while drained is _Drained.PART and left > 0:
            drained, charge = self._drain_some()
            left -= charge

    def _drain_some(self) -> tuple[_Drained, int]:
        """Read until the socket is empty or the round is full; and what of its buffer that has freed at least, in bytes."""
        datagrams: list[bytes] = []
        # One byte more than is taken tells a datagram that was longer from one that just fits.
        read, fd, size = os.read, self._fd, self._settings.max_bytes + 1
        left = self._settings.round_datagrams
        left_bytes = _round_bytes
        drained = _Drained.PART
        try:
            while left > 0 and left_bytes > 0:
                count = min(left, _chunk_datagrams)
                first = len(datagrams)
                # What was read stays in the list when a later read raises.
                datagrams.extend(map(read, repeat(fd, count), repeat(size)))
                left -= count
                left_bytes -= sum(map(len, datagrams[first:]))
        except BlockingIOError:
            drained = _Drained.ALL if datagrams else _Drained.NOTHING
        except ConnectionError as error:
            # An ICMP error for something sent earlier from this socket's address: the datagrams behind it are fine.
            log.debug("dogstatsd_read_failed", error=error)
        self._hand_over(datagrams)
        charge = self._charge_a_byte * (_round_bytes - left_bytes)
        return drained, charge + _least_charge_bytes * max(1, len(datagrams))

    def _hand_over(self, datagrams: list[bytes]) -> None:
        if datagrams:
            if self._may_cut:
                self._cut_long(datagrams)
            if self._settings.needs_eol:
                cut_unfinished(datagrams, self._count_cut)
            self._take(datagrams)

    def _cut_long(self, datagrams: list[bytes]) -> None:
        largest = self._settings.max_bytes
        for index, datagram in enumerate(datagrams):
            if len(datagram) > largest:
                datagrams[index], lost = whole_lines(datagram[:largest])
                self._count_cut("truncated", lost)


def bind_dogstatsd(host: str, port: int, rcvbuf: int | None = None) -> trio.socket.SocketType:
    """A UDP socket bound to an IP address. Raises OSError.

    `rcvbuf` is the receive buffer to ask for, in bytes; None asks for as much as the kernel lets this process have, so
    that bursts survive while the process does not run. (Linux grants at most net.core.rmem_max and uses twice that.)
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        ask_for_buffer(sock, rcvbuf)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return trio.socket.from_stdlib_socket(sock)


def ask_for_buffer(sock: socket.socket, rcvbuf: int | None) -> None:
    """Linux caps the request by itself; other kernels refuse one that is too large, so it is halved until it is taken."""
    wanted = _largest_rcvbuf if rcvbuf is None else rcvbuf
    while wanted > 0:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
            return
        except OSError:
            wanted //= 2


def _about(fd: int) -> tuple[int, bool]:
    """The size of a socket's receive buffer in bytes, and whether it is a Unix socket."""
    sock = socket.socket(fileno=os.dup(fd))
    try:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), sock.family == socket.AF_UNIX
    finally:
        sock.close()
