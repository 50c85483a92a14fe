"""A runtime for tests of the extension: tells logs, metrics and spans as the event asks, over the real sockets.

The event: `{"id": text, "lines": n, "metrics": n, "spans": n, "profiles": n, "sleep": seconds, "crash": true}`. Each thing told
carries the id.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from typing import Any

import msgspec

base = "/2018-06-01/runtime"


def call(method: str, path: str, body: bytes | None = None) -> tuple[Any, bytes]:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, base + path, body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.headers, content


def send_metrics(name: str, count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(count):
            sock.sendto(
                f"{name}.values:{number}|d|#from:{name}".encode(), ("127.0.0.1", int(os.environ["DD_DOGSTATSD_PORT"]))
            )


def send_spans(name: str, count: int) -> int:
    trace_id = int.from_bytes(os.urandom(7), "big")
    spans = [
        {
            "service": "telling",
            "name": "work",
            "resource": name,
            "trace_id": trace_id,
            "span_id": number + 1,
            "parent_id": 0 if number == 0 else 1,
            "start": time.time_ns(),
            "duration": 1_000_000,
            "error": 0,
            "meta": {"from": name},
            "metrics": {"_sampling_priority_v1": 1},
            "type": "custom",
        }
        for number in range(count)
    ]
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["DD_TRACE_AGENT_PORT"]), timeout=2)
        headers = {"Content-Type": "application/msgpack", "X-Datadog-Trace-Count": "1"}
        connection.request("PUT", "/v0.4/traces", msgspec.msgpack.encode([spans]), headers)
        status = connection.getresponse().status
        connection.close()
    except OSError:
        return 0
    return status


def send_profiles(name: str, count: int) -> None:
    for number in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["DD_TRACE_AGENT_PORT"]), timeout=2)
        headers = {"Content-Type": "application/octet-stream", "DD-EVP-ORIGIN": "telling"}
        connection.request("POST", "/profiling/v1/input", f"{name} profile {number}".encode(), headers)
        assert connection.getresponse().status == 200
        connection.close()


def main() -> None:
    while True:
        headers, body = call("GET", "/invocation/next")
        event = json.loads(body)
        for number in range(event.get("lines", 0)):
            print(f"{event['id']} line {number}", flush=True)
        send_metrics(event["id"], event.get("metrics", 0))
        status = send_spans(event["id"], event["spans"]) if event.get("spans") else None
        send_profiles(event["id"], event.get("profiles", 0))
        time.sleep(event.get("sleep", 0))
        if event.get("crash"):
            os._exit(9)
        answer = json.dumps({"id": event["id"], "traces_status": status}).encode()
        call("POST", f"/invocation/{headers['Lambda-Runtime-Aws-Request-Id']}/response", answer)


main()
