"""What an invocation is billed for us with the `end` flush, what the function's own calls to us take, and memory over time.

Each invocation writes 20 log lines, sends 20 metric values, one trace of 10 spans, and calls start- and end-invocation as
the libraries do. The runtime's answer to Lambda does not pass through ddx; the only time that a function can spend on us
before it answers is in those calls, which is why they are measured.
"""

from __future__ import annotations

import random
import socket
import time
from typing import Any, NamedTuple

import msgspec

from benchmarks.extension import Extension
from benchmarks.intake import Intake
from benchmarks.lambda_stand_in import LambdaStandIn, event
from benchmarks.peer import Peer
from benchmarks.posting import Client, post_once, render
from benchmarks.processes import cpu_s
from benchmarks.spans import make_trace, traces_request
from benchmarks.table import Options, Row, Table, percentile

lines_per_invocation = 20
values_per_invocation = 20
# As far as an intake in the same region is from a function.
far_ms = 25.0


class Life(NamedTuple):
    """`added_ms`: end of the runtime delivered → next asked; `round_trip_ms`: one POST to the same intake."""

    added_ms: list[float]
    round_trip_ms: float
    cpu_ms: float
    rss_after_ten: float
    rss_at_end: float
    both_rss_after_ten: float
    both_pss_at_end: float
    requests: float


def tables(options: Options) -> list[Table]:
    count = options.pick(50, 3)
    near, far = live(count, delay_ms=0), live(count, delay_ms=far_ms)
    return [
        Table(f"Invocations with the `end` flush (medians of {count})", _rows(near, far)),
        Table("Calls of the function before it answers", _measure_calls(options)),
    ]


def _rows(near: Life, far: Life) -> list[Row]:
    rows: list[Row] = []
    for name, life in (("an intake that answers at once", near), (f"an intake {far_ms:.0f} ms away", far)):
        added, trip = percentile(life.added_ms, 0.5), "its own round trip"
        rows += [
            Row(f"end of runtime → `next`, {name}", "ms", added, life.round_trip_ms, trip),
            Row("… beyond that round trip", "ms", added - life.round_trip_ms, target=5),
            Row("… p99", "ms", percentile(life.added_ms, 0.99), life.round_trip_ms, trip),
        ]
    return [
        *rows,
        Row("requests to the intake an invocation", "count", near.requests),
        Row("CPU of both processes an invocation", "ms", near.cpu_ms),
        Row("RSS of the agent after 10 invocations", "MiB", near.rss_after_ten, target=45),
        Row("RSS of the agent after all", "MiB", near.rss_at_end, target=45),
        Row("RSS of both after 10 (shared pages counted twice)", "MiB", near.both_rss_after_ten),
        Row("PSS of both after all", "MiB", near.both_pss_at_end),
    ]


def live(count: int, *, delay_ms: float) -> Life:
    """`count` invocations of one sandbox; everything that was sent must be accounted for."""
    chance = random.Random(3)
    added_ms: list[float] = []
    after_ten = at_end = (0.0, 0.0, 0.0)
    with (
        Intake(delay_ms=delay_ms) as intake,
        LambdaStandIn() as lambda_,
        Extension(lambda_, intake_url=intake.url, DD_SERVERLESS_FLUSH_STRATEGY="end") as extension,
    ):
        lambda_.asked_next()
        time.sleep(0.3)  # As a runtime takes to start: the agent warms up meanwhile.
        before_s = extension.cpu_s()
        for number in range(count):
            request_id = f"00000000-0000-4000-8000-{number:012}"
            lambda_.invoke(request_id)
            if number:
                lambda_.report(f"00000000-0000-4000-8000-{number - 1:012}")
            work_of_a_function(extension, chance, request_id)
            lines = [log_line(request_id, index) for index in range(lines_per_invocation)]
            ended = lambda_.end(request_id, *lines)
            added_ms.append((lambda_.asked_next() - ended) * 1e3)
            if number == min(9, count - 1):
                after_ten = _memory(extension)
        at_end = _memory(extension)
        cpu_ms = (extension.cpu_s() - before_s) / count * 1e3
        requests = intake.counts()["requests"] / count
        round_trip_ms = measure_round_trip_ms(intake)
        accounts = extension.end()
        assert accounts["metrics"]["delivered"]["items"] >= count * values_per_invocation
        assert accounts["traces"]["delivered"]["items"] == count * 10
        assert accounts["logs"]["delivered"]["items"] >= count * lines_per_invocation
    return Life(
        added_ms=added_ms,
        round_trip_ms=round_trip_ms,
        cpu_ms=cpu_ms,
        rss_after_ten=after_ten[0],
        rss_at_end=at_end[0],
        both_rss_after_ten=after_ten[0] + after_ten[1],
        both_pss_at_end=at_end[2],
        requests=requests,
    )


def _memory(extension: Extension) -> tuple[float, float, float]:
    agent, keeper = extension.agent_memory(), extension.keeper_memory()
    return agent.rss, keeper.rss, agent.pss + keeper.pss


def work_of_a_function(extension: Extension, chance: random.Random, request_id: str) -> None:
    post_once(extension.lifecycle_port, start_invocation(request_id))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        for number in range(values_per_invocation):
            kind = "cgd"[number % 3]
            line = f"shop.values.{number % 5}:{chance.uniform(1, 1000):.3f}|{kind}|#route:r{number % 4}"
            sending.sendto(line.encode(), ("127.0.0.1", extension.statsd_port))
    post_once(extension.traces_port, traces_request(msgspec.msgpack.encode([make_trace(chance)]), traces=1))
    post_once(extension.lifecycle_port, render("/lambda/end-invocation", b'{"statusCode":200}'))


def start_invocation(request_id: str) -> bytes:
    body = b'{"resource":"/orders","httpMethod":"POST","headers":{"accept":"*/*"},"body":"{}"}'
    return render("/lambda/start-invocation", body, f"lambda-runtime-aws-request-id: {request_id}")


def log_line(request_id: str, number: int) -> dict[str, Any]:
    text = (
        f"2025-06-01T12:00:00.{number:03}Z\t{request_id}\tINFO\titem {number * 7919 % 99991} reserved for the order\n"
    )
    return event("function", text)


def measure_round_trip_ms(intake: Intake) -> float:
    client = Client(intake.port)
    request = render("/api/v2/logs", b"x" * 1000)
    client.post(request)
    found = [client.post(request) * 1e3 for _ in range(30)]
    client.close()
    return percentile(found, 0.5)


def _measure_calls(options: Options) -> list[Row]:
    """Latency of each call as a library makes it (a connection each), one at a time, and what it costs the agent."""
    count = options.pick(500, 20)
    chance = random.Random(4)
    traces = [traces_request(msgspec.msgpack.encode([make_trace(chance)]), traces=1) for _ in range(count)]
    starts = [start_invocation("00000000-0000-4000-8000-000000000000")] * count
    with Intake() as intake:
        theirs: tuple[float, float, float] | None = None
        if options.peer is not None:
            with Peer(options.peer, intake_url=intake.url) as peer:
                theirs = _call(peer.traces_port, traces, peer.pid)
        with LambdaStandIn() as lambda_, Extension(lambda_, intake_url=intake.url) as extension:
            lambda_.asked_next()
            time.sleep(0.3)
            ours = _call(extension.traces_port, traces, extension.agent_pid)
            started = _call(extension.lifecycle_port, starts, extension.agent_pid)
            extension.end()
    rows: list[Row] = []
    for name, mine, other in (("POST /v0.4/traces", ours, theirs), ("POST /lambda/start-invocation", started, None)):
        median, p99, cpu = other or (None, None, None)
        rows += [
            Row(f"{name}, median", "ms", mine[0], median),
            Row(f"{name}, p99", "ms", mine[1], p99),
            Row(f"{name}, CPU of the agent", "µs", mine[2], cpu),
        ]
    return rows


def _call(port: int, requests: list[bytes], pid: int) -> tuple[float, float, float]:
    """Median and p99 in ms, and µs of the server's CPU for each call."""
    for request in requests[:10]:
        post_once(port, request)
    before_s = cpu_s(pid)
    took = [post_once(port, request) * 1e3 for request in requests]
    return percentile(took, 0.5), percentile(took, 0.99), (cpu_s(pid) - before_s) / len(requests) * 1e6
