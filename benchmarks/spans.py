"""Traces as dd-trace-py sends them, and their loading onto an agent."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.posting import Client, render
from benchmarks.table import percentile

spans_per_trace: Final = 10
connections: Final = 2


def make_trace(chance: random.Random) -> list[dict[str, Any]]:
    """Ten spans of some 400 bytes each, in the shape that dd-trace-py gives them."""
    trace_id = chance.getrandbits(64)
    root_id = chance.getrandbits(63)
    start = 1_700_000_000_000_000_000 + chance.getrandbits(50)
    spans: list[dict[str, Any]] = []
    for index in range(spans_per_trace):
        is_root = index == 0
        is_query = index % 2 == 0
        spans.append(
            {
                "trace_id": trace_id,
                "span_id": root_id if is_root else chance.getrandbits(63),
                "parent_id": 0 if is_root else root_id,
                "service": "orders",
                "name": "postgres.query" if is_query else "requests.request",
                "resource": "SELECT * FROM orders WHERE id = ?" if is_query else "GET /orders/?",
                "type": "sql" if is_query else "http",
                "error": 0,
                "start": start + chance.getrandbits(30),
                "duration": chance.getrandbits(28),
                "meta": {
                    "component": "psycopg" if is_query else "requests",
                    "span.kind": "client",
                    "_dd.p.tid": "65f1a2b300000000",
                    "out.host": "db.example.com" if is_query else "api.example.com",
                    "http.url": f"https://api.example.com/orders/{chance.getrandbits(16)}",
                    "http.status_code": "200",
                    "language": "python",
                    "runtime-id": "7f3c5a8e9b1d4f6c8a2e4b6d8f0a1c3e",
                },
                "metrics": {"_dd.top_level": 1, "_sampling_priority_v1": 1, "process_id": 8} if is_root else {"n": 1.5},
            }
        )
    return spans


def make_query_trace(chance: random.Random) -> list[dict[str, Any]]:
    """The same with queries as a program wrote them: of two hundred different ones."""
    spans = make_trace(chance)
    for span in spans:
        if span["type"] == "sql":
            number = chance.randrange(200)
            span["resource"] = (
                f"SELECT id, state, total FROM orders JOIN customers ON customers.id = orders.customer_id"
                f" WHERE customers.name = 'customer {number}' AND orders.total > {number}.50 LIMIT 100"
            )
    return spans


MakeTrace = Callable[[random.Random], list[dict[str, Any]]]


def traces_request(body: bytes, *, traces: int) -> bytes:
    return render(
        "/v0.4/traces",
        body,
        "Content-Type: application/msgpack",
        f"X-Datadog-Trace-Count: {traces}",
        "Datadog-Meta-Lang: python",
        "Datadog-Meta-Lang-Version: 3.12.1",
        "Datadog-Meta-Tracer-Version: 4.0.0",
        "Datadog-Client-Computed-Top-Level: yes",
        method="PUT",
    )


class Loaded(NamedTuple):
    """`put_off`: how often the agent answered 429 and the request was repeated."""

    spans: int
    seconds: float
    answer_ms_median: float
    answer_ms_p99: float
    put_off: int


def load(port: int, spans: int, *, traces_per_request: int, make: MakeTrace = make_trace) -> Loaded:
    """Post some `spans` spans over a few connections at once, as fast as they are taken."""
    chance = random.Random(1)
    per_request = spans_per_trace * traces_per_request
    total = max(connections, spans // per_request)
    # Some 20,000 different spans, several payloads of them, so that compression finds no more repeats than it would.
    prepared = [
        msgspec.msgpack.encode([make(chance) for _ in range(traces_per_request)])
        for _ in range(min(total, max(1, 20_000 // per_request)))
    ]
    latencies: list[float] = []
    clients = [Client(port) for _ in range(connections)]

    def run(index: int) -> None:
        for number in range(index, total, connections):
            # Other trace ids each time, or the agent would take the spans for repeats.
            body = _renumbered(prepared[number % len(prepared)], number // len(prepared))
            latencies.append(clients[index].post(traces_request(body, traces=traces_per_request)))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for client in clients:
        client.close()
    if len(latencies) != total:
        raise RuntimeError("the agent did not take every request")
    return Loaded(
        spans=total * per_request,
        seconds=seconds,
        answer_ms_median=percentile(latencies, 0.5) * 1e3,
        answer_ms_p99=percentile(latencies, 0.99) * 1e3,
        put_off=sum(client.put_off for client in clients),
    )


_trace_id_field: Final = b"\xa8trace_id\xcf"


def _renumbered(body: bytes, times: int) -> bytes:
    """The same spans with other trace ids: two bytes of each are replaced."""
    if not times:
        return body
    parts = body.split(_trace_id_field)
    return _trace_id_field.join([parts[0], *(times.to_bytes(2, "big") + part[2:] for part in parts[1:])])
