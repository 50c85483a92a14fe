"""The body of a request as its sender meant it: content codings undone, within the same limit as bodies without one. Pure."""

from __future__ import annotations

import zlib
from typing import Final

import zstandard

from ddx_core.errors import MalformedInput

max_members: Final = 64
"""gzip allows any number of parts in a row; clients send one."""
max_window: Final = 1 << 27
"""zstd frames that ask for a larger window (in bytes) are refused; no level in common use needs it."""


class BodyTooLarge(MalformedInput):
    """What the body holds is above the limit, although the body itself is not."""


class UnknownCoding(MalformedInput):
    """The body is in a content coding that is not supported."""


def decode_body(body: bytes, coding: str | None, *, max_bytes: int) -> bytes:
    """Undo `coding` (the value of Content-Encoding: gzip, zstd or identity)."""
    match (coding or "identity").strip().lower():
        case "identity" | "":
            return body
        case "gzip" | "x-gzip":
            return _gunzip(body, max_bytes)
        case "zstd":
            return _unzstd(body, max_bytes)
        case other:
            raise UnknownCoding(f"Content-Encoding {other[:40]!r} is not supported: use gzip, zstd or none")


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    rest = body
    for _ in range(max_members):
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            # One byte more than allowed tells a body at the limit from one above it.
            piece = member.decompress(rest, max_bytes - size + 1)
        except zlib.error as error:
            raise MalformedInput(f"gzip: {error}") from error
        size += len(piece)
        if size > max_bytes:
            raise BodyTooLarge(f"more than {max_bytes} bytes when decompressed")
        if not member.eof:
            raise MalformedInput("gzip: the body is cut short")
        pieces.append(piece)
        rest = member.unused_data
        if not rest:
            return b"".join(pieces)
    raise MalformedInput(f"gzip: more than {max_members} parts")


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=max_window).stream_reader(body, read_across_frames=True)
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := reader.read(min(max_bytes - size + 1, 1 << 20)):
            size += len(piece)
            if size > max_bytes:
                raise BodyTooLarge(f"more than {max_bytes} bytes when decompressed")
            pieces.append(piece)
    except zstandard.ZstdError as error:
        raise MalformedInput(f"zstd: {error}") from error
    return b"".join(pieces)
