"""Traces: CPU per span from socket to compressed payload, spans per second, peak memory, bytes on the wire.

The load: 10-span traces of some 400 bytes a span, posted over two connections as fast as they are taken, with a flush a second; a
request that is answered 429 is repeated. Every span must have been delivered at the end. Both agents compute trace statistics.
The second load is the same with queries as a program wrote them, in which the agent has to hide the values.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from benchmarks.loads import Subject, open_ddx, open_peer
from benchmarks.processes import cpu_s, memory
from benchmarks.spans import MakeTrace, load, make_query_trace, make_trace, spans_per_trace
from benchmarks.table import Options, Row, Table

usual_traces_per_request = 20


class Taken(NamedTuple):
    cpu_us: float
    spans_per_s: float
    peak_rss: float
    wire_bytes: float
    answer_ms_median: float
    answer_ms_p99: float
    put_off: float


def tables(options: Options) -> list[Table]:
    found: list[Table] = []
    usual = options.pick(400_000, 4000)
    for title, spans, traces_per_request, make, cpu_target in (
        (f"{usual_traces_per_request} a request", usual, usual_traces_per_request, make_trace, 15),
        (
            f"{usual_traces_per_request} a request, half of them raw queries",
            usual,
            usual_traces_per_request,
            make_query_trace,
            40,
        ),
        ("one a request", options.pick(50_000, 400), 1, make_trace, 15),
    ):
        ours = measure(open_ddx("end,1000", DD_LAMBDA_EXTENSION_COMPUTE_STATS="true"), spans, traces_per_request, make)
        theirs = measure(open_peer(options.peer), spans, traces_per_request, make) if options.peer else None
        rows = _rows(ours, theirs, cpu_target=cpu_target)
        found.append(Table(f"Traces of {spans_per_trace} spans, {title}, {spans:,} spans", rows))
    steps = measure_steps(runs=options.pick(30, 2))
    return [*found, Table("Traces, the steps by themselves (best of some runs)", _step_rows(steps))]


def _rows(ours: Taken, theirs: Taken | None, *, cpu_target: float) -> list[Row]:
    def row(what: str, unit: str, field: str, *, target: float | None = None, at_least: bool = False) -> Row:
        beside = None if theirs is None else getattr(theirs, field)
        return Row(what, unit, getattr(ours, field), beside, target=target, at_least=at_least)

    return [
        row("CPU", "µs a span", "cpu_us", target=cpu_target),
        row("rate", "spans/s", "spans_per_s", target=70_000, at_least=True),
        row("peak RSS of the agent", "MiB", "peak_rss", target=80),
        row("on the wire to the intake", "bytes a span", "wire_bytes"),
        row("answer, median", "ms", "answer_ms_median"),
        row("answer, p99", "ms", "answer_ms_p99"),
        row("requests put off (429)", "count", "put_off"),
    ]


def _step_rows(steps: dict[str, float]) -> list[Row]:
    names = {
        "decode_us": "decode",
        "process_us": "normalise, tag, sample",
        "count_us": "count for statistics",
        "encode_us": "encode",
        "compress_us": "compress",
    }
    rows = [Row(name, "µs CPU a span", steps[key]) for key, name in names.items()]
    return [*rows, Row("request body", "bytes a span", steps["request_bytes_per_span"])]


def measure(
    opening: AbstractContextManager[Subject], spans: int, traces_per_request: int, make: MakeTrace = make_trace
) -> Taken:
    with opening as subject:
        before_s = cpu_s(subject.pid)
        loaded = load(subject.traces_port, spans, traces_per_request=traces_per_request, make=make)
        # CPU is taken when there is nothing left to send.
        if subject.has_accounts:
            subject.end_invocation()
        else:
            wait_until_no_more(subject)
        used_s, peak = cpu_s(subject.pid) - before_s, memory(subject.pid).peak
        accounts = subject.end()
        if subject.has_accounts:
            assert accounts["traces"]["delivered"]["items"] == loaded.spans, accounts["traces"]
        wire_bytes = subject.intake.counts()["wire_bytes"]
    return Taken(
        cpu_us=used_s / loaded.spans * 1e6,
        spans_per_s=loaded.spans / loaded.seconds,
        peak_rss=peak,
        wire_bytes=wire_bytes / loaded.spans,
        answer_ms_median=loaded.answer_ms_median,
        answer_ms_p99=loaded.answer_ms_p99,
        put_off=loaded.put_off,
    )


def wait_until_no_more(subject: Subject) -> None:
    """Until the intake has got nothing for some seconds: the peer sends every three, and does not tell what it still holds."""
    before, now = -1, subject.intake.counts()["wire_bytes"]
    while now == 0 or now != before:
        time.sleep(4)
        before, now = now, subject.intake.counts()["wire_bytes"]


def measure_steps(*, runs: int) -> dict[str, float]:
    """CPU µs per span of each step, best of many runs: what one process can do with nothing around it."""
    from ddx_core.clock import now_ns
    from ddx_core.intake import Compressor
    from ddx_core.stats import Account
    from ddx_core.tags import TagSet
    from ddx_traces.agent import decode_v04
    from ddx_traces.process import Normalizer, OwnCalls, Processor, SpanTags
    from ddx_traces.span import TracerPayload
    from ddx_traces.span_encoder import SpanEncoder
    from ddx_traces.stats.concentrator import Concentrator

    chance = random.Random(2)
    body = msgspec.msgpack.encode([make_trace(chance) for _ in range(100)])
    count = 100 * spans_per_trace
    processor = Processor(Normalizer(now_ns), OwnCalls(["http://127.0.0.1:9001"]))
    tags = SpanTags(TagSet([("functionname", "orders")]), origin="lambda", base_service="orders")

    def decode() -> list[Any]:
        return [part.read.spans for part in decode_v04(body)]

    def process(traces: list[Any]) -> list[Any]:
        payload = TracerPayload()
        return [chunk for trace in traces for chunk in processor.process(trace, payload, tags).chunks]

    encode_span = SpanEncoder().encode

    def encode(chunks: list[Any]) -> bytes:
        return b"".join([encode_span(span) for chunk in chunks for span in chunk.spans])

    concentrator = Concentrator(Account("stats"), now_ns)

    def count_spans(chunks: list[Any]) -> None:
        payload = TracerPayload()
        for chunk in chunks:
            concentrator.add(chunk.spans, payload)

    chunks = process(decode())
    encoded = encode(chunks)
    compressor = Compressor()
    decoded = best(runs, decode)
    return {
        "request_bytes_per_span": len(body) / count,
        "decode_us": decoded / count * 1e6,
        "process_us": (best(runs, lambda: process(decode())) - decoded) / count * 1e6,
        "count_us": best(runs, lambda: count_spans(chunks)) / count * 1e6,
        "encode_us": best(runs, lambda: encode(chunks)) / count * 1e6,
        "compress_us": best(runs, lambda: compressor.compress(encoded)) / count * 1e6,
    }


def best(runs: int, step: Callable[[], object]) -> float:
    shortest = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        step()
        shortest = min(shortest, time.perf_counter() - began)
    return shortest
