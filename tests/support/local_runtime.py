"""A small runtime client for tests of the local platform: what an event says, it does.

Run as a program (the `bootstrap` of a function). RUNTIME_PLAN, one JSON object, says how its start goes wrong.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from typing import Any

plan: dict[str, Any] = json.loads(os.environ.get("RUNTIME_PLAN", "{}"))
base = "/2018-06-01/runtime"


def call(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, base + path, body, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def stream(path: str, event: dict[str, Any]) -> int:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.connect()
    lines = [
        f"POST {base}{path} HTTP/1.1",
        "Host: runtime",
        "Transfer-Encoding: chunked",
        "Lambda-Runtime-Function-Response-Mode: streaming",
        "Content-Type: application/octet-stream",
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    ]
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in event["stream"])
    trailer = event.get("trailer")
    trailers = f"Lambda-Runtime-Function-Error-Type: {trailer}\r\n" if trailer else ""
    connection.sock.sendall(("\r\n".join(lines) + "\r\n\r\n" + chunks + "0\r\n" + trailers + "\r\n").encode())
    response = http.client.HTTPResponse(connection.sock)
    response.begin()
    response.read()
    connection.close()
    return response.status


def handle(request_id: str, event: dict[str, Any], headers: Any) -> None:
    if "print" in event:
        print(event["print"], flush=True)
    if "child" in event:
        subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    for path, body in event.get("to_trace_agent", ()):
        trace_agent = http.client.HTTPConnection("127.0.0.1", int(os.environ["DD_TRACE_AGENT_PORT"]))
        trace_agent.request("POST", path, bytes.fromhex(body))
        print(f"trace agent answered {trace_agent.getresponse().status}", flush=True)
    time.sleep(event.get("sleep", 0))
    if "exit" in event:
        os._exit(event["exit"])
    if "eat_mb" in event:
        hoard = bytearray(os.urandom(1 << 20)) * event["eat_mb"]
        time.sleep(30)
        del hoard
    path = f"/invocation/{request_id}"
    if "stream" in event:
        stream(f"{path}/response", event)
    elif "error" in event:
        body = json.dumps({"errorMessage": event["error"], "errorType": "Told"}).encode()
        call("POST", f"{path}/error", body, Lambda_Runtime_Function_Error_Type=event.get("type", "Function.Told"))
    elif "respond_bytes" in event:
        status, _, answer = call("POST", f"{path}/response", b'"' + b"x" * event["respond_bytes"] + b'"')
        print(f"answered {status} {answer.decode().strip()}", flush=True)
    else:
        answer = {
            "pid": os.getpid(),
            "cwd": os.getcwd(),
            "environment": dict(os.environ) if event.get("environment") else None,
            "exists": os.path.exists(event["exists"]) if "exists" in event else None,
            "headers": dict(headers.items()),
            "event": event,
        }
        call("POST", f"{path}/response", json.dumps(answer).encode())
    if "exit_after" in event:
        os._exit(event["exit_after"])


def main() -> None:
    print("runtime starts", flush=True)
    time.sleep(plan.get("init_s", 0))
    if "init_exit" in plan:
        sys.exit(plan["init_exit"])
    if "init_error" in plan:
        body = json.dumps({"errorMessage": "told to", "errorType": plan["init_error"]}).encode()
        call("POST", "/init/error", body, Lambda_Runtime_Function_Error_Type=plan["init_error"])
        sys.exit(1)
    while True:
        _, headers, body = call("GET", "/invocation/next")
        handle(headers["Lambda-Runtime-Aws-Request-Id"], json.loads(body), headers)


main()
