"""Content-Encoding undone: every coding, broken data, and data that unfold into far more than they are."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.intake.decode import DecodeError, TooLarge, decode_body

text = b"a payload, a payload, and again a payload; " * 10


def streamed(data: bytes) -> bytes:
    """zstd as streaming writers make it: the frame does not tell its size."""
    writer = zstandard.ZstdCompressor().compressobj()
    frame = writer.compress(data) + writer.flush()
    assert zstandard.get_frame_parameters(frame).content_size == zstandard.CONTENTSIZE_UNKNOWN
    return frame


encoded = {
    "identity": text,
    "": text,
    "gzip": gzip.compress(text),
    "x-gzip": gzip.compress(text),
    "GZIP": gzip.compress(text[:7]) + gzip.compress(text[7:]),
    "deflate": zlib.compress(text),
    " deflate": zlib.compress(text)[2:-4],
    "zstd": zstandard.compress(text),
    "Zstd": streamed(text),
    " zstd ": zstandard.compress(text[:7]) + streamed(text[7:]),
    "gzip, zstd": zstandard.compress(gzip.compress(text)),
}


@pytest.mark.parametrize("encoding", encoded)
def test_undoes_every_coding(encoding: str) -> None:
    assert decode_body(encoded[encoding], encoding, limit=len(text)) == text


@pytest.mark.parametrize("encoding", encoded)
def test_refuses_one_byte_above_the_limit(encoding: str) -> None:
    with pytest.raises(TooLarge):
        decode_body(encoded[encoding], encoding, limit=len(text) - 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "Zstd"])
def test_refuses_data_cut_short_anywhere(encoding: str) -> None:
    for end in range(len(encoded[encoding])):
        with pytest.raises(DecodeError):
            decode_body(encoded[encoding][:end], encoding, limit=1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_refuses_what_follows_the_data(encoding: str) -> None:
    with pytest.raises(DecodeError):
        decode_body(encoded[encoding] + b"more", encoding, limit=1000)


def test_names_a_coding_it_does_not_know() -> None:
    with pytest.raises(DecodeError, match="'br'"):
        decode_body(text, "br", limit=1000)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(64 << 20))),
        ("zstd", zstandard.compress(bytes(1 << 28))),
        ("Zstd", streamed(bytes(1 << 28))),
        ("gzip", gzip.compress(b"") * 5000),
        ("zstd", zstandard.compress(b"") * 5000),
    ],
    ids=["gzip", "zstd", "zstd of unknown size", "members", "frames"],
)
def test_bombs_cost_no_memory(encoding: str, bomb: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decode_body(bomb, encoding, limit=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "zstd", "identity", "gzip, zstd"]))
@settings(max_examples=50, deadline=None)
def test_any_bytes_give_bytes_or_a_decode_error(data: bytes, encoding: str) -> None:
    with suppress(DecodeError):
        assert len(decode_body(data, encoding, limit=1 << 16)) <= 1 << 16
