"""Traces: CPU per span from socket to compressed payload, spans per second, peak memory, bytes on the wire.

    python benchmarks/bench_traces.py [--spans 400000] [--peer]

Three processes: the agent under test, a client that posts 10-span traces as fast as they are taken, and (in the client's
process) an intake that reads and throws away. The client repeats requests that are answered with 429.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

spans_per_trace: Final = 10
traces_per_request: Final = 20
connections: Final = 2


# --- what is sent --------------------------------------------------------------------------------------------------


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


def make_request(body: bytes, *, traces: int) -> bytes:
    head = (
        f"PUT /v0.4/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/msgpack\r\nX-Datadog-Trace-Count: {traces}\r\n"
        "Datadog-Meta-Lang: python\r\nDatadog-Meta-Lang-Version: 3.12.1\r\nDatadog-Meta-Tracer-Version: 4.0.0\r\n"
        "Datadog-Client-Computed-Top-Level: yes\r\n\r\n"
    )
    return head.encode() + body


class Client:
    """Posts requests one after the other on one kept connection, each until it is taken."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.put_off = 0

    def post(self, request: bytes) -> float:
        """Seconds until the answer that took it."""
        while True:
            began = time.perf_counter()
            self._socket.sendall(request)
            status = self._read_answer()
            if status == 200:
                return time.perf_counter() - began
            if status != 429:
                raise RuntimeError(f"the agent answered {status}")
            self.put_off += 1
            time.sleep(0.05)

    def close(self) -> None:
        self._socket.close()

    def _read_answer(self) -> int:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", b"0"))
        while len(body) < length:
            body += self._receive()
        return int(head.split(b" ", 2)[1])

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise RuntimeError("the agent closed the connection")
        return data


class Intake:
    """Reads requests, counts them and their bytes, answers 202. Threads: it must not share the client's loop."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests = 0
        self.wire_bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                received = connection.recv(1 << 18)
                if not received:
                    return
                data += received
            head, _, data = data.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            left = int(fields.get(b"content-length", b"0"))
            self.wire_bytes += left
            while left > len(data):
                left -= len(data)
                data = connection.recv(1 << 18)
                if not data:
                    return
            data = data[left:]
            self.requests += 1
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")


# --- who is measured -------------------------------------------------------------------------------------------------


def serve_pipeline(intake_port: int) -> None:
    """The child: a traces pipeline alone, flushed once a second. Prints its port, at the end its account."""
    import trio

    from ddx_core.clock import now_ns
    from ddx_core.http import open_tcp_listener
    from ddx_core.intake import Compressor, Endpoint, IntakeClient, StaticKey, open_fanout
    from ddx_core.pipeline import FlushKind
    from ddx_core.stats import Account
    from ddx_core.tags import TagSet
    from ddx_traces.pipeline import TracesPipeline, TracesSettings

    tags = TagSet(
        [
            ("region", "eu-west-1"), ("account_id", "123456789012"), ("aws_account", "123456789012"),
            ("functionname", "orders"), ("resource", "orders"), ("executedversion", "$LATEST"),
            ("function_arn", "arn:aws:lambda:eu-west-1:123456789012:function:orders"), ("memorysize", "1024"),
            ("runtime", "python3.12"), ("architecture", "arm64"), ("env", "prod"), ("version", "1.2.3"),
            ("service", "orders"), ("dd_extension_version", "65"),
        ]
    )  # fmt: skip

    async def main() -> None:
        account, stats_account = Account("traces"), Account("stats")
        async with IntakeClient() as client, trio.open_nursery() as nursery:
            endpoint = Endpoint(name="bench", base_url=f"http://127.0.0.1:{intake_port}", key=StaticKey("key"))
            listener = await open_tcp_listener("127.0.0.1", 0)
            pipeline = TracesPipeline(
                TracesSettings(),
                account=account,
                stats_account=stats_account,
                fanout=open_fanout(account, [endpoint], client, max_bytes=10 << 20),
                stats_fanout=open_fanout(stats_account, [endpoint], client, max_bytes=1 << 20),
                compressor=Compressor(),
                tags=tags,
                now_ns=now_ns,
                listeners=[listener],
            )
            await nursery.start(pipeline.serve)
            print(json.dumps({"port": listener.socket.getsockname()[1]}), flush=True)
            stop = trio.Event()

            async def wait_for_end_of_input() -> None:
                await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
                stop.set()

            nursery.start_soon(wait_for_end_of_input)
            while not stop.is_set():
                with trio.move_on_after(1):
                    await stop.wait()
                await pipeline.flush(FlushKind.BACKGROUND)
            await pipeline.flush(FlushKind.FINAL)
            snapshot = account.snapshot()
            print(
                json.dumps({"delivered": snapshot.delivered.items, "closes": snapshot.closes, **own_usage()}),
                flush=True,
            )
            nursery.cancel_scope.cancel()

    trio.run(main)


def own_usage() -> dict[str, float]:
    times = os.times()
    return {"cpu_s": times.user + times.system, "peak_rss_mib": peak_rss_mib("self")}


def peak_rss_mib(pid: int | str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_ours(spans: int, *, traces_per_request: int = traces_per_request) -> dict[str, float]:
    intake = Intake()
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(intake.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    port = json.loads(child.stdout.readline())["port"]
    before = cpu_seconds(child.pid)
    result = load(port, spans, traces_per_request)
    child.stdin.close()
    final = json.loads(child.stdout.readline())
    child.wait()
    assert final["closes"], "the account does not close"
    assert final["delivered"] == result["spans"], (final, result)
    return {
        **result,
        "cpu_us_per_span": (final["cpu_s"] - before) / result["spans"] * 1e6,
        "peak_rss_mib": final["peak_rss_mib"],
        "wire_bytes_per_span": intake.wire_bytes / result["spans"],
        "payloads": intake.requests,
    }


def measure_peer(spans: int) -> dict[str, float]:
    """The vendor's agent for serverless, from the wheel of datadog-serverless-compat. It wants a file in /home/site."""
    import importlib.util

    found = importlib.util.find_spec("datadog_serverless_compat")
    if found is None or found.origin is None:
        raise SystemExit("install datadog-serverless-compat==0.19.0 to measure the peer")
    binary = next(Path(found.origin).parent.glob("bin/linux-*/datadog-serverless-compat*"))
    binary.chmod(0o755)
    Path("/home/site/wwwroot").mkdir(parents=True, exist_ok=True)
    Path("/home/site/wwwroot/host.json").touch()
    intake = Intake()
    port = free_port()
    environment = {
        **os.environ,
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_SITE_NAME": "x",
        "DD_API_KEY": "0" * 32,
        "DD_APM_DD_URL": f"http://127.0.0.1:{intake.port}",
        "DD_APM_RECEIVER_PORT": str(port),
        "DD_DOGSTATSD_PORT": str(free_port()),
        "DD_LOG_LEVEL": "error",
    }
    child = subprocess.Popen([str(binary)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        result = load(port, spans, traces_per_request)
        time.sleep(7)  # it sends every three seconds
        return {
            **result,
            "cpu_us_per_span": cpu_seconds(child.pid) / result["spans"] * 1e6,
            "peak_rss_mib": peak_rss_mib(child.pid),
            "wire_bytes_per_span": intake.wire_bytes / result["spans"],
            "payloads": intake.requests,
        }
    finally:
        child.kill()
        child.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for_port(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise RuntimeError(f"nobody listens on {port}")


def load(port: int, spans: int, traces_per_request: int) -> dict[str, float]:
    """Post `spans` spans over a few connections at once. Requests are made beforehand, and used more than once with new ids."""
    chance = random.Random(1)
    per_request = spans_per_trace * traces_per_request
    total = max(connections, spans // per_request)
    encode = msgspec.msgpack.encode
    # Some 20,000 different spans, several payloads of them, so that compression finds no more repeats than it would.
    prepared = [
        encode([make_trace(chance) for _ in range(traces_per_request)]) for _ in range(max(1, 20_000 // per_request))
    ]
    latencies: list[float] = []
    clients = [Client(port) for _ in range(connections)]

    def run(index: int) -> None:
        for number in range(index, total, connections):
            # Other trace ids each time, or the agent would take the spans for repeats.
            body = renumbered(prepared[number % len(prepared)], number // len(prepared))
            latencies.append(clients[index].post(make_request(body, traces=traces_per_request)))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    latencies.sort()
    result = {
        "spans": total * per_request,
        "spans_per_s": total * per_request / elapsed,
        "answer_ms_median": latencies[len(latencies) // 2] * 1000,
        "answer_ms_p99": latencies[int(len(latencies) * 0.99)] * 1000,
        "put_off": sum(client.put_off for client in clients),
    }
    for client in clients:
        client.close()
    return result


_trace_id_field: Final = b"\xa8trace_id\xcf"


def renumbered(body: bytes, times: int) -> bytes:
    """The same spans with other trace ids: two bytes of each are replaced."""
    if not times:
        return body
    parts = body.split(_trace_id_field)
    return _trace_id_field.join([parts[0], *(times.to_bytes(2, "big") + part[2:] for part in parts[1:])])


# --- the steps by themselves -----------------------------------------------------------------------------------------


def measure_steps() -> dict[str, float]:
    """CPU µs per span of each step, best of many runs: what one process can do with nothing around it."""
    from ddx_core.clock import now_ns
    from ddx_core.intake import Compressor
    from ddx_core.tags import TagSet
    from ddx_traces.agent import decode_v04
    from ddx_traces.encode import encode_span
    from ddx_traces.process import Normalizer, OwnCalls, Processor, SpanTags
    from ddx_traces.span import TracerPayload

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

    def encode(chunks: list[Any]) -> bytes:
        return b"".join([encode_span(span) for chunk in chunks for span in chunk.spans])

    chunks = process(decode())
    encoded = encode(chunks)
    compressor = Compressor()
    decoded = best(decode)
    return {
        "request_bytes_per_span": len(body) / count,
        "decode_us": decoded / count * 1e6,
        "process_us": (best(lambda: process(decode())) - decoded) / count * 1e6,
        "encode_us": best(lambda: encode(chunks)) / count * 1e6,
        "compress_us": best(lambda: compressor.compress(encoded)) / count * 1e6,
    }


def best(step: Callable[[], object], runs: int = 30) -> float:
    shortest = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        step()
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


def run(*, spans: int = 400_000, peer: bool = False) -> dict[str, dict[str, float]]:
    """Everything measured, by who or what it is of."""
    results = {
        "steps": measure_steps(),
        "ddx": measure_ours(spans),
        "ddx, one trace a request": measure_ours(spans // 8, traces_per_request=1),
    }
    if peer:
        results["peer"] = measure_peer(spans)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--peer", action="store_true", help="also measure datadog-serverless-compat 0.19.0")
    parser.add_argument("--serve", type=int, metavar="INTAKE_PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_pipeline(arguments.serve)
        return
    for subject, values in run(spans=arguments.spans, peer=arguments.peer).items():
        print(subject)
        for name, value in values.items():
            print(f"  {name:<24}{value:>14,.2f}")


if __name__ == "__main__":
    main()
