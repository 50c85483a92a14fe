"""Where one message of a client ends: lines that were cut off, and frames of a stream. Pure.

Rule of this file: half a line is never parsed. A number or a tag that lost its end still looks like one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_length_bytes: Final = 4

CountCut = Callable[[str, int], None]
"""Told of each line that was left out because its end is missing: the reason, and how many bytes of it had come."""


def whole_lines(data: bytes) -> tuple[bytes, int]:
    """The lines that are complete, with their newlines, and how many bytes after the last newline were left out."""
    end = data.rfind(b"\n") + 1
    return data[:end], len(data) - end


def cut_unfinished(messages: list[bytes], count_cut: CountCut) -> None:
    """Leave out the last line of each datagram or frame that does not end with a newline."""
    for index, message in enumerate(messages):
        if message and not message.endswith(b"\n"):
            messages[index], lost = whole_lines(message)
            count_cut("unterminated", lost)


class FrameTooLarge(ValueError):
    """A length beyond what is taken: what follows cannot be told apart from it any more. `before` are the frames until then."""

    def __init__(self, size: int, before: list[bytes]) -> None:
        super().__init__(f"a frame of {size} bytes")
        self.before = before


class Frames:
    """Takes a stream apart: each frame is a length (4 bytes, little-endian, unsigned) and as many bytes."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""

    @property
    def waiting(self) -> int:
        """Bytes of a frame whose end has not come yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete with this data. Raises FrameTooLarge, after which nothing more can be fed."""
        data = self._rest + data if self._rest else data
        found: list[bytes] = []
        at = 0
        while len(data) - at >= _length_bytes:
            start = at + _length_bytes
            size = int.from_bytes(data[at:start], "little")
            if size > self._max_bytes:
                self._rest = b""
                raise FrameTooLarge(size, found)
            if len(data) - start < size:
                break
            at = start + size
            found.append(data[start:at])
        self._rest = data[at:]
        return found
