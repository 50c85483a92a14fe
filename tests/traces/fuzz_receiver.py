"""Broken requests of every form against the trace agent, as long as one likes; `test_fuzz_receiver.py` runs a few.

    python -m tests.traces.fuzz_receiver --seconds 600 --seed 7

Each is a sound request with something done to it. The answer must be 200 or a 4xx with a reason, a neighbour's request must be
taken as ever, the accounts must close, and memory must stay in bounds. The seed and the number of a failure repeat it.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
import trio
import zstandard

from ddx_core.pipeline import FlushKind
from ddx_traces.pipeline import TracesSettings

from . import golden_go_v1
from .support import HttpClient, v04, v05, wire_span, wire_trace
from .test_routes import Served, serving
from .test_stats_payload import client_stats

allowed: Final = frozenset({200, 202, 400, 413, 415, 429})
max_grown_bytes: Final = 400 << 20
"""Above what the process had: bodies of at most 4 MiB here, as objects, a part at a time."""

_rich = wire_span(
    meta={"a": "b", "_dd.origin": "x", "c": "d" * 300},
    metrics={"_sampling_priority_v1": 1, "n": 1.5},
    meta_struct={"m": b"\x81\xa1a\x01"},
    span_links=[{"trace_id": 1, "span_id": 2, "attributes": {"k": "v"}, "flags": 1}],
    span_events=[{"name": "e", "time_unix_nano": 1, "attributes": {"k": {"type": 2, "int_value": 3}}}],
)
_traces = [wire_trace(1, 3), [_rich, *wire_trace(2, 2, meta={"x": "y"})]]
_v07 = msgspec.msgpack.encode(
    {"env": "e", "tags": {"a": "b"}, "chunks": [{"priority": 1, "spans": t} for t in _traces]}
)
seeds: Final = (
    ("/v0.4/traces", v04(*_traces)),
    ("/v0.3/traces", v04(*_traces)),
    ("/v0.5/traces", v05(*_traces)),
    ("/v0.7/traces", _v07),
    ("/v1.0/traces", golden_go_v1.request),
    ("/v0.4/traces", msgspec.json.encode([wire_trace(3, 2, meta={"a": "b"})])),
    ("/v0.6/stats", msgspec.msgpack.encode(client_stats)),
)

Change = Callable[[random.Random, bytearray], None]


def _place(chance: random.Random, body: bytearray) -> int:
    return chance.randrange(len(body) + 1)


def _flip(chance: random.Random, body: bytearray) -> None:
    for _ in range(chance.randint(1, 8)):
        if body:
            body[chance.randrange(len(body))] = chance.randrange(256)


def _cut(chance: random.Random, body: bytearray) -> None:
    del body[_place(chance, body) :]


def _drop(chance: random.Random, body: bytearray) -> None:
    at = _place(chance, body)
    del body[at : at + chance.randint(1, 40)]


def _repeat(chance: random.Random, body: bytearray) -> None:
    at = _place(chance, body)
    body[at:at] = body[at : at + chance.randint(1, 200)] * chance.choice((1, 2, 500))


# Values that are out of range, of the wrong type, or announce what is not there; empty ones by the thousand; deep ones.
_values: Final = (
    b"\xc0", b"\xc1", b"\xc3", b"\xff", b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xcb\x7f\xf0" + bytes(6),
    b"\xcb\x7f\xf8" + bytes(6), b"\xca\xff\x80\x00\x00", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x05", b"\xa3\xff\xfe\x80", b"\xd9\x02\xe2\x82",
    b"\xc7\x0c\xff" + b"\xff" * 12, b"\x81\xa1a\xa1b", b"\x82\xa1a\x01\xa1a\x02", b"\x90", b"\x80",
    b"\xdc\x10\x00" + b"\x80" * 4096,
    b"\xdd\x00\x04\x00\x00" + b"\x90" * (1 << 18), b"\x91" * 2000, b"\x81\xa1a" * 2000, b"\x91" * 200_000,
    b"null", b"1e999", b"-1", b"18446744073709551616", b"[" * 2000, b'{"a":' * 2000, b'"\\ud800"', b"\x00",
)  # fmt: skip


def _put(chance: random.Random, body: bytearray) -> None:
    at = _place(chance, body)
    body[at : at + chance.choice((0, 0, 1, 2, 9))] = chance.choice(_values)


def _join(chance: random.Random, body: bytearray) -> None:
    _, other = chance.choice(seeds)
    at = chance.randrange(len(other))
    body[_place(chance, body) :] = other[at:]


changes: Final[tuple[Change, ...]] = (_flip, _flip, _cut, _drop, _repeat, _put, _put, _put, _join)
codings: Final[tuple[tuple[str, Callable[[bytes], bytes]], ...]] = (
    ("gzip", gzip.compress),
    ("zstd", zstandard.compress),
)


def make(seed: int, number: int) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of one request."""
    chance = random.Random(f"{seed}/{number}")
    path, sound = chance.choice(seeds)
    if chance.random() < 0.1:
        path = chance.choice(seeds)[0]
    body = bytearray(sound)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(changes)(chance, body)
    encoded, headers = bytes(body[: 4 << 20]), dict[str, str]()
    if chance.random() < 0.15:
        coding, compress = chance.choice(codings)
        changed = bytearray(compress(encoded))
        if chance.random() < 0.5:
            _flip(chance, changed)
        encoded, headers["Content-Encoding"] = bytes(changed), coding
    kind = chance.choice((None, "application/msgpack", "application/json", "x" * 50))
    if kind is not None:
        headers["Content-Type"] = kind
    return path, encoded, headers


class Campaign:
    """Sends one broken request after the other, each with a sound one of a neighbour behind it."""

    def __init__(self, rig: Served, broken: HttpClient, neighbour: HttpClient, seed: int) -> None:
        self._rig = rig
        self._broken = broken
        self._neighbour = neighbour
        self._seed = seed
        self._begun_with = _peak_bytes()
        self.answers = Counter[int]()

    async def step(self, number: int) -> None:
        path, body, headers = make(self._seed, number)
        told = f"seed {self._seed}, number {number}: {path} {headers} {body[:60]!r}"
        answer = await self._broken.ask("PUT", path, body, headers)
        assert answer.status in allowed, (told, answer)
        assert answer.status < 400 or answer.body, told
        self.answers[answer.status] += 1
        taken = await self._neighbour.ask("PUT", "/v0.4/traces", v04(wire_trace(1000 + number)))
        assert taken.status == 200, (told, taken)
        self._rig.check()
        if number % 50 == 49:
            await self._rig.pipeline.flush(FlushKind.FINAL)
            self._rig.intake.payloads.clear()
            self._rig.check()
        assert not self._rig.dropped("failed"), told
        grown = _peak_bytes() - self._begun_with
        assert grown < max_grown_bytes, f"{told}: {grown >> 20} MiB more"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def run(seed: int, *, requests: int | None = None, seconds: float = 0.0) -> Counter[int]:
    async with serving(TracesSettings(max_request_bytes=6 << 20)) as rig:
        campaign = Campaign(rig, await rig.client(), await rig.client(), seed)
        ends = time.monotonic() + seconds
        number = 0
        while number < requests if requests is not None else time.monotonic() < ends:
            await campaign.step(number)
            number += 1
    return campaign.answers


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.traces.fuzz_receiver", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()

    async def campaign() -> Counter[int]:
        return await run(chosen.seed, seconds=chosen.seconds)

    answers = trio.run(campaign)
    sys.stdout.write(f"seed {chosen.seed}: {answers.total()} requests, answers {dict(sorted(answers.items()))}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
