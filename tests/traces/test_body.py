"""Content codings of requests."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_traces.agent.body import BodyTooLarge, UnknownCoding, decode_body

text = b"some spans " * 1000
codings = {
    None: text,
    "": text,
    "identity": text,
    "gzip": gzip.compress(text),
    " GZIP ": gzip.compress(text),
    "x-gzip": gzip.compress(text[:50]) + gzip.compress(text[50:]),
    "zstd": zstandard.compress(text),
    "ZSTD": zstandard.compress(text[:50]) + zstandard.compress(text[50:]),
}


@pytest.mark.parametrize("coding", codings)
def test_codings_are_undone(coding: str | None) -> None:
    assert decode_body(codings[coding], coding, max_bytes=len(text)) == text


@pytest.mark.parametrize("coding", ["gzip", "zstd", "x-gzip", "ZSTD"])
def test_what_is_too_large_when_undone_is_refused(coding: str) -> None:
    with pytest.raises(BodyTooLarge):
        decode_body(codings[coding], coding, max_bytes=len(text) - 1)


def test_bombs_are_refused_without_being_held() -> None:
    zeros = bytes(50 << 20)
    for coding, body in (("gzip", zlib.compress(zeros, 1, zlib.MAX_WBITS | 16)), ("zstd", zstandard.compress(zeros))):
        with pytest.raises(BodyTooLarge):
            decode_body(body, coding, max_bytes=1 << 20)


def _zstd_without_its_size(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(content)


bombs: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, 1),
    "zstd": zstandard.compress,
    "ZSTD": _zstd_without_its_size,
}


@pytest.mark.parametrize("coding", bombs)
def test_memory_stays_small_until_a_large_body_is_known_to_be_allowed(coding: str) -> None:
    content = bytes(50 << 20)
    allowed, bomb = bombs[coding](content), bombs[coding](content + b"x")
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decode_body(bomb, coding, max_bytes=len(content))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 12 << 20
    assert decode_body(allowed, coding, max_bytes=len(content)) == content


@pytest.mark.parametrize("coding", ["deflate", "br", "gzip, gzip", "nonsense" * 100])
def test_other_codings_are_named_as_unknown(coding: str) -> None:
    with pytest.raises(UnknownCoding, match="Content-Encoding"):
        decode_body(text, coding, max_bytes=1 << 20)


def test_gzip_cut_short_or_followed_by_rubbish_or_in_countless_parts_is_malformed() -> None:
    whole = gzip.compress(text)
    for body in (b"", whole[:-1], whole[:20], whole + b"rubbish", gzip.compress(b"") * 1000):
        with pytest.raises(MalformedInput):
            decode_body(body, "gzip", max_bytes=1 << 20)


@settings(max_examples=50)
@given(st.binary(max_size=100), st.sampled_from(["gzip", "zstd"]))
def test_any_bytes_are_a_body_or_malformed(body: bytes, coding: str) -> None:
    magic = b"\x1f\x8b\x08\x00" if coding == "gzip" else b"\x28\xb5\x2f\xfd"
    for each in (body, magic + body):
        with suppress(MalformedInput):
            assert isinstance(decode_body(each, coding, max_bytes=1000), bytes)
