"""Content codings for request bodies: identity, gzip, zstd. Each body is compressed once, for all endpoints."""

from __future__ import annotations

import gzip
import zlib
from enum import StrEnum

import zstandard


class Coding(StrEnum):
    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


class Compressor:
    """Compresses with one coding at one level; zstd levels are -7 (fastest) to 22, gzip 1 to 9 (others are clamped)."""

    def __init__(self, coding: Coding = Coding.ZSTD, level: int = 3) -> None:
        self.coding = coding
        lowest, highest = (-7, 22) if coding is Coding.ZSTD else (1, 9)
        self.level = max(lowest, min(level, highest))
        self._zstd = zstandard.ZstdCompressor(level=self.level) if coding is Coding.ZSTD else None

    def compress(self, body: bytes) -> tuple[bytes, str | None]:
        """The coded body and the value of Content-Encoding (None: send no such header)."""
        if self._zstd is not None:
            try:
                # A copy: zstandard makes room for the worst case and shrinks it in place, and of what is kept long each
                # piece would leave a hole of half a megabyte behind it.
                return bytes(memoryview(self._zstd.compress(body))), "zstd"
            except zstandard.ZstdError:
                return body, None
        if self.coding is Coding.GZIP:
            return gzip.compress(body, self.level, mtime=0), "gzip"
        return body, None


def decompress(body: bytes, encoding: str | None) -> bytes:
    """What a Compressor was given. Raises ValueError for what none has made."""
    try:
        match encoding:
            case None:
                return body
            case "zstd":
                return zstandard.ZstdDecompressor().decompress(body)
            case "gzip":
                return gzip.decompress(body)
            case _:
                raise ValueError(f"unknown coding {encoding!r}")
    except (zstandard.ZstdError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"no {encoding} body: {error}") from error
