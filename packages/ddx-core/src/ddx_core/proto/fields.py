"""A Protobuf message taken apart into its top-level fields, as bytes, without knowing its type. Pure.

Messages can be put together and taken apart by bytes alone: the fields of two messages one after the other are one message.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

_fixed: Final = {1: 8, 5: 4}


def fields_of(message: bytes) -> list[tuple[int, bytes, bytes]]:
    """Field number, content (of a length-delimited field; else nothing), and the whole field. Raises ValueError."""
    found: list[tuple[int, bytes, bytes]] = []
    at, end = 0, len(message)
    while at < end:
        begin = at
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        content = b""
        if wire == 2:
            length, at = _varint(message, at)
            content = message[at : at + length]
            at += length
        elif wire == 0:
            _, at = _varint(message, at)
        elif wire in _fixed:
            at += _fixed[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if at > end or not number:
            raise ValueError("a field is cut short, or has no number")
        found.append((number, content, message[begin:at]))
    return found


def middle(sizes: Sequence[int]) -> int:
    """How many of two or more pieces make up the first half of them all; at least one is left for the second."""
    half = sum(sizes) / 2
    count = next(count for count, size in enumerate(accumulate(sizes), 1) if size >= half)
    return min(count, len(sizes) - 1)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        if at >= len(message):
            raise ValueError("a number is cut short")
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise ValueError("a number of more than ten bytes")
