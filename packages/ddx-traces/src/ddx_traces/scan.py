"""MessagePack token by token: for what a decoder refuses, or could not be trusted with. Pure.

Rule of this file: the bytes are known to be well-formed (msgspec has gone over them), so that tokens simply follow each
other, and nesting costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ddx_core.errors import MalformedInput

_fixed: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 0),
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
    0xD4: 2,
    0xD5: 3,
    0xD6: 5,
    0xD7: 9,
    0xD8: 17,  # extensions, with the byte of their type
    0xDC: 2,
    0xDD: 4,
    0xDE: 2,
    0xDF: 4,  # arrays and maps: their elements are the next tokens
}
"""How many bytes follow the first one."""
_counted: Final = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)} | {
    0xD9: (1, 0),
    0xDA: (2, 0),
    0xDB: (4, 0),
}
"""How long the length is that follows the first byte, and how much comes besides it."""
strings: Final = frozenset({0xD9, 0xDA, 0xDB, *range(0xA0, 0xC0)})


def tokens(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """First byte, and where its content begins and ends, of one token after the other."""
    position = 0
    size = len(encoded)
    while position < size:
        first = encoded[position]
        begin = position + 1
        if first < 0xA0 or first >= 0xE0:  # small numbers; small maps and arrays
            position = begin
        elif first < 0xC0:
            position = begin + (first & 0x1F)
        elif first in _fixed:
            position = begin + _fixed[first]
        elif first in _counted:
            width, more = _counted[first]
            begin += width
            position = begin + int.from_bytes(encoded[begin - width : begin], "big") + more
        else:
            raise MalformedInput("a byte that begins no value")
        yield first, begin, position


def has_more_tokens(encoded: bytes, most: int) -> bool:
    return any(number >= most for number, _ in enumerate(tokens(encoded)))


def all_strings(encoded: bytes) -> Iterator[str | None]:
    """Every string in it, at any depth, in the order of the bytes; None for each value that is no string."""
    for first, begin, end in tokens(encoded):
        yield encoded[begin:end].decode("utf-8", "replace") if first in strings else None


def mend_strings(encoded: bytes) -> bytes:
    """The same values, with U+FFFD where a string is not UTF-8."""
    pieces: list[bytes] = []
    done = 0
    at = 0
    for first, begin, end in tokens(encoded):
        if first in strings:
            content = encoded[begin:end]
            mended = content.decode("utf-8", "replace").encode()
            if mended != content:
                pieces += encoded[done:at], b"\xdb", len(mended).to_bytes(4, "big"), mended
                done = end
        at = end
    pieces.append(encoded[done:])
    return b"".join(pieces)
