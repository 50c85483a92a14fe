"""Some of what `fuzz_receiver` sends, on every run; and the largest bodies, whose memory is bounded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddx_core import log

from .fuzz_receiver import run


async def test_broken_requests_of_every_form_hurt_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is told of them must not count as told already in the tests that follow.
    monkeypatch.setattr(log, "warning", log.debug)
    answers = await run(seed=1, requests=300)
    assert answers[200] > 20
    assert answers[400] > 20


largest = """
import resource, sys
import msgspec
from ddx_core.errors import MalformedInput
from ddx_traces.agent import decode_v04, decode_v05
from ddx_traces.agent.decode_json import decode_json
from ddx_traces.agent.decode_v07 import decode_v07
from ddx_traces.agent.decode_v1 import decode_v1

pack = msgspec.msgpack.encode
size = 50 << 20

def array(count):
    return b"\\xdd" + count.to_bytes(4, "big")

def table(count):
    return b"\\xdf" + count.to_bytes(4, "big")

ids = pack("trace_id") + b"\\x01" + pack("span_id") + b"\\x01"
span = 4 << 20
filled = {
    "empty arrays": array(span) + b"\\x90" * span,
    "short strings": array(span // 3) + b"".join(b"\\xa2" + bytes([65 + n % 26, 65 + n // 26 % 26]) for n in range(span // 3)),
    "numbers by name": table(span // 5) + b"".join(b"\\xa3%03x\\x01" % (n % 4096) for n in range(span // 5)),
}[sys.argv[2]] if len(sys.argv) > 2 else b""
match sys.argv[1]:
    case "many empty traces":
        decode, body = decode_v04, array(size) + b"\\x90" * size
    case "many empty spans":
        decode, body = decode_v04, b"\\x91" + array(size) + b"\\x80" * size
    case "v0.4 span":
        decode = decode_v04
        body = b"\\x91" + array(5) + 5 * (b"\\x83" + ids + pack("metrics") + filled)
    case "v0.4 long trace":
        decode, body, number = decode_v04, bytearray(b"\\x91" + array(0)), 0
        while len(body) < size:
            number += 1
            fields = {"trace_id": 1, "span_id": number, "parent_id": number ^ 1, "service": "web"}
            body += pack({**fields, "name": "request", "meta": {"text": "x" * 60}})
        body[1:6] = array(number)
    case "v0.5 dictionary":
        decode, body = decode_v05, b"\\x92" + array(size) + b"\\xa0" * size + b"\\x90"
    case "v0.7 chunks":
        decode = lambda body: decode_v07(body).parts
        body = b"\\x81" + pack("chunks") + array(size) + b"\\x80" * size
    case "v1.0 span":
        decode = lambda body: decode_v1(body).parts
        body = b"\\x81\\x0b\\x91\\x82\\x06\\xc4\\x10" + bytes(16) + b"\\x04" + array(5) + 5 * (b"\\x82\\x04\\x01\\x09" + filled)
    case "json":
        decode, body = decode_json, b"[[" + b"{}," * (3 << 20) + b"{}]]"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for part in decode(body):
        pass
except MalformedInput:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.system
@pytest.mark.parametrize(
    "case",
    [
        ["many empty traces"],
        ["many empty spans"],
        *(
            [form, filled]
            for form in ("v0.4 span", "v1.0 span")
            for filled in ("empty arrays", "short strings", "numbers by name")
        ),
        ["v0.4 long trace"],
        ["v0.5 dictionary"],
        ["v0.7 chunks"],
        ["json"],
    ],
    ids=" of ".join,
)
def test_largest_bodies_take_little_more_than_themselves(case: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", largest, *case], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 150, "MiB above the body"
