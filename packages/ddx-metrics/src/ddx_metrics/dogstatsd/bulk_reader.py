"""BulkReader: a thread that empties a datagram socket many times a second, while the event loop does the rest.

Waking the event loop a thousand times a second costs more than all that it then reads, and while it is busy nothing is
read at all. A thread that naps costs a tenth of that. What it has read waits here until there is enough to be worth a turn
of the loop; taking apart thousands of lines at a time costs less a line, too.

Rules of this file:
- The thread reads, and does nothing else. It is there while there is a load, and has ended when `with` ends.
- It reads with the interpreter's lock held. Python's own reads let go of it for each datagram, and a busy event loop then
  gives it back 5 ms later, for each.
- What waits is bounded; beyond that the kernel's buffer fills, as it would without a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, Self

from ddx_core import log

if TYPE_CHECKING:
    from .recvmmsg import ManyDatagrams

# Worth a turn of the event loop, which then takes some milliseconds.
_enough_datagrams: Final = 4_096
_enough_bytes: Final = 262_144

charge_bytes: Final = 1_280
"""What the kernel charges a socket's buffer for a small datagram: 832 to 1,280 bytes, and more for a long one, as it rounds up
to powers of two."""
_charge_a_byte: Final = 2
_longest_pause_s: Final = 0.05


class BulkReader:
    """Reads the socket `fd`, which must not be closed before this has ended.

    `capacity` is the size of its buffer in bytes, `pause_s` the time in which a quarter of that fills at the highest rate that
    may come without a warning. When less comes the thread naps longer, up to two and a half times as long.
    `tell_enough` is called in the thread, once until the next `collect`, when much waits.
    """

    most_datagrams: ClassVar = 4 * _enough_datagrams
    most_bytes: ClassVar = 16 * _enough_bytes
    """When so many wait, or so much, no more is read."""

    def __init__(
        self, fd: int, *, max_bytes: int, capacity: int, pause_s: float, tell_enough: Callable[[], object]
    ) -> None:
        self._fd = fd
        self._max_bytes = max_bytes
        self._quarter = capacity / 4
        self._pause_s = pause_s
        self._charged = 0
        self._tell_enough = tell_enough
        self._lock = threading.Lock()
        self._datagrams: list[bytes] = []
        self._bytes = 0
        self._told = False
        self._ready: ManyDatagrams | None = None
        self._many: ManyDatagrams | None = None
        self._has_failed = False
        # Held until the thread is to end: waiting for it is a nap that can be cut short.
        self._end = threading.Lock()
        self._end.acquire()
        self._thread = threading.Thread(target=self._run, name="ddx-dogstatsd", daemon=True)

    @property
    def is_reading(self) -> bool:
        return self._many is not None

    @property
    def has_failed(self) -> bool:
        """This system cannot do it, or not now."""
        return self._has_failed

    @property
    def has_enough(self) -> bool:
        """Whether what waits is worth a turn."""
        return len(self._datagrams) >= _enough_datagrams or self._bytes >= _enough_bytes

    def begin(self) -> bool:
        """Leave the socket to the thread, if it is ready to read: some milliseconds after its start. True: it reads from here on.

        Until then whoever has the socket reads it, and nobody else: what two read at a time would be out of order.
        """
        self._many = self._ready
        return self.is_reading

    def __enter__(self) -> Self:
        try:
            self._thread.start()
        except RuntimeError as error:
            # There are as many threads as there may be.
            self._fail(error)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.release()
        if self._thread.ident is not None:
            self._thread.join()

    def read(self) -> None:
        """Read what lies in the socket now; for who keeps the thread from it by being busy."""
        with self._lock:
            self._read()

    def collect(self) -> tuple[list[bytes], int]:
        """The oldest of what waits, as much as is worth a turn, in order of arrival; and how many bytes that is."""
        with self._lock:
            datagrams, self._datagrams = self._datagrams, []
            size, self._bytes = self._bytes, 0
            self._told = False
            most = min(_enough_datagrams, 1 + _enough_bytes * len(datagrams) // max(1, size))
            if len(datagrams) > most:
                self._datagrams = datagrams[most:]
                del datagrams[most:]
                self._bytes = sum(map(len, self._datagrams))
            return datagrams, size - self._bytes

    def _run(self) -> None:
        try:
            from .recvmmsg import ManyDatagrams

            many = ManyDatagrams(self._fd, max_bytes=self._max_bytes)
        except (ImportError, OSError, MemoryError) as error:
            self._fail(error)
            return
        self._ready = many
        pause_s = self._pause_s
        while not self._end.acquire(timeout=pause_s):
            with self._lock:
                self._read()
                pause_s = next_pause(pause_s, self._charged / self._quarter, shortest_s=self._pause_s)
                self._charged = 0
                if self.has_enough and not self._told:
                    self._told = True
                    self._tell_enough()

    def _fail(self, error: Exception) -> None:
        log.debug("dogstatsd_reads_one_by_one", error=error)
        self._has_failed = True

    def _read(self) -> None:
        if self._many is not None:
            before = len(self._datagrams)
            size = self._many.read(self._datagrams, self.most_datagrams - before, self.most_bytes - self._bytes)
            self._bytes += size
            self._charged += charge_bytes * (len(self._datagrams) - before) + _charge_a_byte * size


def next_pause(pause_s: float, quarters: float, *, shortest_s: float) -> float:
    """After a nap of `pause_s` in which so many quarters of the buffer filled: one in which a quarter would, within limits."""
    longest_s = max(shortest_s, min(2.5 * shortest_s, _longest_pause_s))
    return min(max(pause_s / max(quarters, 0.01), shortest_s), longest_s)
