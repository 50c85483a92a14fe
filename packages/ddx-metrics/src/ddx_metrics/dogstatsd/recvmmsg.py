"""recvmmsg(2): many datagrams by one call of the kernel, and without letting go of the interpreter's lock in between.

Importing this fails where the C library has no such call (ImportError); it takes some milliseconds, so import it when
there is a load to justify that.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

_at_once: Final = 64
# Most datagrams fit a slot of this size, a network's largest packets included; the rest of longer ones goes elsewhere.
_slot_bytes: Final = 1_536
_dont_wait: Final = 0x40
_private: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

try:
    # PyDLL keeps the interpreter's lock during the call, which never waits.
    _recvmmsg: Final = ctypes.PyDLL(None).recvmmsg
except (OSError, AttributeError) as missing:
    raise ImportError("this system's C library has no recvmmsg") from missing
_recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
_recvmmsg.restype = ctypes.c_int


class _Piece(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint),
        ("pieces", ctypes.c_void_p),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", _Header), ("received", ctypes.c_uint))


class ManyDatagrams:
    """Reads what lies in a datagram socket, of each datagram the first `max_bytes`. Not for two threads at a time.

    Making one raises OSError where it could read nothing.
    """

    def __init__(self, fd: int, *, max_bytes: int) -> None:
        self._fd = fd
        self._slot_bytes = min(max_bytes, _slot_bytes)
        self._more_bytes = max_bytes - self._slot_bytes
        # Memory that nothing was written to is not there yet: long datagrams are rare.
        self._slots = mmap.mmap(-1, _at_once * self._slot_bytes, flags=_private)
        self._more = mmap.mmap(-1, max(1, _at_once * self._more_bytes), flags=_private)
        self._pieces = (_Piece * (2 * _at_once))()
        self._messages = (_Message * _at_once)()
        slots, more = (ctypes.addressof(ctypes.c_char.from_buffer(each)) for each in (self._slots, self._more))
        for index, message in enumerate(self._messages):
            slot, rest = self._pieces[2 * index], self._pieces[2 * index + 1]
            slot.base, slot.size = slots + index * self._slot_bytes, self._slot_bytes
            rest.base, rest.size = more + index * self._more_bytes, self._more_bytes
            message.header.pieces, message.header.piece_count = ctypes.addressof(slot), 2
        words = memoryview(self._messages).cast("B").cast("I")
        word = words.itemsize
        self._received = words[_Message.received.offset // word :: ctypes.sizeof(_Message) // word]
        self._address = ctypes.addressof(self._messages)
        if _recvmmsg(fd, self._address, 0, _dont_wait, None) < 0:
            # Sandboxes may refuse what the C library has, and reading would find every socket empty.
            raise OSError("recvmmsg is refused here")

    def read(self, datagrams: list[bytes], most: int, most_bytes: int) -> int:
        """Append what is there, until about `most` datagrams or `most_bytes` of it; returns how many bytes.

        It goes over either by less than what one call of the kernel reads: a sender can be as fast as this is.

        An error of the socket ends the reading like an empty socket does.
        """
        slots, step = self._slots, self._slot_bytes
        size = 0
        left = most
        while left > 0 and size < most_bytes:
            count = _recvmmsg(self._fd, self._address, _at_once, _dont_wait, None)
            if count <= 0:
                break
            at = 0
            for received in self._received[:count].tolist():
                size += received
                datagrams.append(slots[at : at + received] if received <= step else self._long(at, received))
                at += step
            left -= count
            if count < _at_once:
                break
        return size

    def _long(self, at: int, received: int) -> bytes:
        more_at = at // self._slot_bytes * self._more_bytes
        return self._slots[at : at + self._slot_bytes] + self._more[more_at : more_at + received - self._slot_bytes]
