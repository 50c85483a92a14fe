"""Content-Encoding undone, with a limit on what comes out: a few kilobytes may unfold into gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from .errors import DecodeError, TooLarge

max_window: Final = 1 << 27
"""zstd's own upper bound for ordinary use (`--long` beyond it is refused by default)."""

max_frames: Final = 1000
"""gzip members or zstd frames in one body: senders write one, streaming ones a few."""

_piece = 1 << 18


def decode_body(body: bytes, encoding: str | None, *, limit: int) -> bytes:
    """The body as its sender meant it. `encoding` is the header as it came, several codings in the order applied.

    Raises TooLarge when more than `limit` bytes come out, DecodeError for unknown codings and broken or cut data.
    """
    codings = [name.strip().lower() for name in (encoding or "").split(",")]
    for coding in reversed([name for name in codings if name not in ("", "identity")]):
        if coding not in _decoders:
            raise DecodeError(f"Content-Encoding {coding!r} is not one of identity, gzip, deflate, zstd")
        body = _decoders[coding](body, limit)
    if len(body) > limit:
        raise TooLarge(f"{len(body)} bytes uncompressed, the limit is {limit}")
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, zlib.MAX_WBITS | 16, "gzip")


def _undeflate(body: bytes, limit: int) -> bytes:
    # "deflate" means the zlib format, but some clients send the bare stream, and servers take both. The zlib header
    # is recognised by its method and its check bits.
    bare = len(body) < 2 or body[0] & 0x0F != 8 or int.from_bytes(body[:2], "big") % 31 != 0
    return _inflate(body, limit, -zlib.MAX_WBITS if bare else zlib.MAX_WBITS, "deflate")


def _inflate(body: bytes, limit: int, window_bits: int, name: str) -> bytes:
    out: list[bytes] = []
    size = 0
    for _ in range(max_frames):
        stream = zlib.decompressobj(window_bits)
        try:
            piece = stream.decompress(body, limit + 1 - size)
        except zlib.error as error:
            raise DecodeError(f"broken {name} data: {error}") from error
        size += len(piece)
        if size > limit:
            raise TooLarge(f"more than {limit} bytes uncompressed")
        if not stream.eof:
            raise DecodeError(f"{name} data cut short")
        out.append(piece)
        body = stream.unused_data
        if not body:
            return b"".join(out)
        if name == "deflate":
            raise DecodeError(f"{len(body)} bytes after the end of the deflate data")
    raise TooLarge(f"more than {max_frames} {name} members in one body")


def _unzstd(body: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=max_window)
    try:
        # First only counted, since the frame header may not tell the size, or lie about it.
        size = 0
        scratch = bytearray(_piece)
        with decompressor.stream_reader(body, read_across_frames=True) as reader:
            while read := reader.readinto(scratch):  # pyright: ignore[reportUnknownMemberType]
                size += read
                if size > limit:
                    raise TooLarge(f"more than {limit} bytes uncompressed")
        out: list[bytes] = []
        for _ in range(max_frames):
            frame = decompressor.decompressobj()
            out.append(frame.decompress(body))
            if not frame.eof:
                raise DecodeError("zstd data cut short")
            body = frame.unused_data
            if not body:
                return b"".join(out)
    except zstandard.ZstdError as error:
        raise DecodeError(f"broken zstd data: {error}") from error
    raise TooLarge(f"more than {max_frames} zstd frames in one body")


_decoders: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _undeflate,
    "zstd": _unzstd,
}
