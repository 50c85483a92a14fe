"""What is compressed comes out again, and takes no more memory than its size while it waits."""

from __future__ import annotations

import gzip
import subprocess
import sys
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.intake import Coding, Compressor, decompress

kept = 400
keep_many = f"""
import os, re
from ddx_core.intake import Compressor
def rss_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
compressor = Compressor()
body = b"a line of a log like any other " * 20_000
compressor.compress(body)
before = rss_mib()
waiting = [compressor.compress(body + str(number).encode())[0] for number in range({kept})]
print(rss_mib() - before)
"""


@given(st.binary(max_size=500), st.sampled_from(Coding), st.integers(-10, 30))
def test_what_goes_in_comes_out(body: bytes, coding: Coding, level: int) -> None:
    assert decompress(*Compressor(coding, level).compress(body)) == body


@given(st.binary(max_size=2000), st.sampled_from([*Coding]), st.integers(-5, 40))
def test_what_is_compressed_comes_back(body: bytes, coding: Coding, level: int) -> None:
    coded, name = Compressor(coding, level).compress(body)
    match coding:
        case Coding.IDENTITY:
            assert (coded, name) == (body, None)
        case Coding.GZIP:
            assert (gzip.decompress(coded), name) == (body, "gzip")
        case Coding.ZSTD:
            assert (zstandard.ZstdDecompressor().decompress(coded), name) == (body, "zstd")


def test_the_same_body_is_compressed_to_the_same_bytes() -> None:
    for coding in Coding:
        compressor = Compressor(coding)
        assert compressor.compress(b"abc" * 100) == compressor.compress(b"abc" * 100)


class FailingZstd:
    def compress(self, body: bytes) -> bytes:
        raise zstandard.ZstdError("no memory")


def test_what_cannot_be_compressed_goes_out_plain_and_says_so() -> None:
    compressor = Compressor(Coding.ZSTD)
    compressor._zstd = FailingZstd()  # type: ignore[assignment]  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    assert compressor.compress(b"body") == (b"body", None)


@given(st.binary(max_size=60), st.sampled_from(["zstd", "gzip", "br"]))
def test_decoding_what_is_nobodys_body_is_a_value_error(body: bytes, encoding: str) -> None:
    with suppress(ValueError):
        decompress(body, encoding)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_waits_takes_no_more_than_its_size() -> None:
    """Results that are kept as zstandard gives them take half a megabyte each, however small they are."""
    done = subprocess.run([sys.executable, "-c", keep_many], stdout=subprocess.PIPE, text=True, check=True)
    assert float(done.stdout) < kept * 0.1
