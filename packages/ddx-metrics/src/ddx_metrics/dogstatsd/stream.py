"""The receiver of Unix stream sockets: connections with frames, each frame like a datagram.

Rules of this file:
- Nothing is awaited between the socket and the aggregator; `drain` reads the same connections between two reads of a task.
- Connections and frames are bounded: one too many is closed at once, a frame too large ends its connection.
- A connection is read no sooner than what lies in those accepted before it: of a gauge that a client sends over one
  connection after another, the last value stands.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

import trio

from ddx_core import log

from ..settings import ReceiverSettings
from .framing import CountCut, Frames, FrameTooLarge, cut_unfinished
from .server import TakeDatagrams

max_connections: Final = 128
_read_bytes: Final = 65_536
_drain_reads: Final = 8
"""512 KiB, which is more than lies in a socket (net.core.wmem_max: 208 KiB). Who sends on and on holds up nobody for long."""
_pause_after_trouble_s: Final = 0.1


class StreamReceiver:
    """Hands the frames of all connections to `take`. The listening socket, not blocking, stays its owner's to close."""

    def __init__(
        self,
        listener: socket.socket,
        take: TakeDatagrams,
        *,
        count_cut: CountCut,
        settings: ReceiverSettings | None = None,
        max_connections: int = max_connections,
    ) -> None:
        self._listener = listener
        self._take = take
        self._count_cut = count_cut
        self._settings = settings or ReceiverSettings()
        self._max_connections = max_connections
        self._connections: dict[_Connection, None] = {}
        """In the order in which they came."""
        self._accepted: list[_Connection] = []
        self._came = trio.Event()

    async def serve(self) -> None:
        """Receive until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._accept_all)
                while True:
                    await self._came.wait()
                    self._came = trio.Event()
                    accepted, self._accepted = self._accepted, []
                    for connection in accepted:
                        nursery.start_soon(self._serve_one, connection)
        finally:
            # Clients have been told that this was sent, and nobody can read it once the connections are closed.
            self._read_all()
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._accepted.clear()

    def drain(self) -> None:
        """Take in what already lies in the sockets, within a bound for each."""
        self._accept()
        self._read_all()

    async def _accept_all(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._listener)
            can_accept = self._accept()
            self._read_all()
            if not can_accept:
                await trio.sleep(_pause_after_trouble_s)

    def _accept(self) -> bool:
        """Accept who waits and can have a place. False: it cannot be done now."""
        while not self._is_place_to_come():
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                # Out of descriptors, or the client is gone already: those that are there go on.
                log.warning("dogstatsd_connection_refused", error=error)
                return False
            if len(self._connections) >= self._max_connections:
                log.warning("dogstatsd_connection_refused", connections=len(self._connections))
                sock.close()
                continue
            sock.setblocking(False)
            connection = _Connection(sock, self._hand_over, self._count_cut, self._settings.max_bytes)
            self._connections[connection] = None
            self._accepted.append(connection)
            self._came.set()
        return True

    def _is_place_to_come(self) -> bool:
        """Whether there is no place, and will be once tasks of connections that are over have run."""
        if len(self._connections) < self._max_connections:
            return False
        self._read_all()
        return any(connection.is_over for connection in self._connections)

    def _read_all(self) -> None:
        for connection in self._connections:
            for _ in range(_drain_reads):
                if not connection.read():
                    break

    def _hand_over(self, frames: list[bytes]) -> None:
        if self._settings.needs_eol:
            cut_unfinished(frames, self._count_cut)
        self._take(frames)

    async def _serve_one(self, connection: _Connection) -> None:
        """Until it is over. Cancelled, it leaves the connection to `serve`."""
        while not connection.is_over:
            await trio.lowlevel.wait_readable(connection.sock)
            connection.read()
        connection.close()
        del self._connections[connection]


class _Connection:
    """One client. After `is_over` nothing more is read."""

    __slots__ = ("_count_cut", "_frames", "_take", "is_over", "sock")

    def __init__(self, sock: socket.socket, take: TakeDatagrams, count_cut: CountCut, max_frame: int) -> None:
        self.sock = sock
        self.is_over = False
        self._take = take
        self._count_cut = count_cut
        self._frames = Frames(max_bytes=max_frame)

    def read(self) -> bool:
        """Take in what one read brings. False: there is nothing more for now."""
        if self.is_over:
            return False
        try:
            data = self.sock.recv(_read_bytes)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        try:
            frames = self._frames.feed(data)
        except FrameTooLarge as error:
            log.warning("dogstatsd_frame_too_large", error=error)
            self._count_cut("frame_too_large", 0)
            frames = error.before
            self._end()
        if frames:
            self._take(frames)
        return not self.is_over

    def _end(self) -> None:
        if self._frames.waiting:
            self._count_cut("truncated", self._frames.waiting)
        self.is_over = True
        with suppress(OSError):
            # Wakes the task that waits for this socket, should the client hold it open.
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if not self.is_over:
            self._end()
        self.sock.close()
