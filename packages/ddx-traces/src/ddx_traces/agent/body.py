"""The body of a request as its sender meant it: content codings undone, within the same limit as bodies without one. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Final

import zstandard

from ddx_core.errors import MalformedInput

max_members: Final = 64
"""gzip allows any number of parts in a row; clients send one."""
max_window: Final = 1 << 25
"""zstd frames that ask for a larger window (in bytes) are refused; no level in common use needs it (RFC 8878 advises 8 MiB)."""
piece_bytes: Final = 256 << 10
unmeasured_bytes: Final = 4 << 20
"""50 MiB of zeros come in a few thousand bytes: more than this is not held before the whole is known to be allowed."""


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
    return _hold(lambda: _gunzip_pieces(body), max_bytes)


def _gunzip_pieces(body: bytes) -> Iterator[bytes]:
    rest = body
    for _ in range(max_members):
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            while piece := member.decompress(rest, piece_bytes):
                rest = member.unconsumed_tail
                yield piece
        except zlib.error as error:
            raise MalformedInput(f"gzip: {error}") from error
        if not member.eof:
            raise MalformedInput("gzip: the body is cut short")
        rest = member.unused_data
        if not rest:
            return
    raise MalformedInput(f"gzip: more than {max_members} parts")


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    try:
        declared = zstandard.get_frame_parameters(body).content_size
        if declared not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) and declared > max_bytes:
            raise BodyTooLarge(f"more than {max_bytes} bytes when decompressed")
    except zstandard.ZstdError as error:
        if not body:
            return b""
        raise MalformedInput(f"zstd: {error}") from error
    return _hold(lambda: _unzstd_pieces(body), max_bytes)


def _unzstd_pieces(body: bytes) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=max_window).stream_reader(body, read_across_frames=True)
    try:
        while piece := reader.read(piece_bytes):
            yield piece
    except zstandard.ZstdError as error:
        raise MalformedInput(f"zstd: {error}") from error


def _hold(pieces: Callable[[], Iterator[bytes]], max_bytes: int) -> bytes:
    """All of them together. What turns out to be large is measured first, and decompressed again to be held."""
    held = BytesIO()
    size = 0
    for piece in pieces():
        size += len(piece)
        if size > max_bytes:
            raise BodyTooLarge(f"more than {max_bytes} bytes when decompressed")
        if size <= unmeasured_bytes:
            held.write(piece)
        elif held.tell():
            held = BytesIO()
    if size > unmeasured_bytes:
        for piece in pieces():
            held.write(piece)
    return held.getvalue()
