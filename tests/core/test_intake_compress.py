"""What is compressed comes out again, and takes no more memory than its size while it waits."""

from __future__ import annotations

import subprocess
import sys

import pytest
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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_waits_takes_no_more_than_its_size() -> None:
    """Results that are kept as zstandard gives them take half a megabyte each, however small they are."""
    done = subprocess.run([sys.executable, "-c", keep_many], stdout=subprocess.PIPE, text=True, check=True)
    assert float(done.stdout) < kept * 0.1
