"""A small external extension for tests of the local platform: it registers, subscribes, and answers every next.

Run as a program. How it misbehaves is one JSON object in EXTENSION_PLAN; what it saw goes, a JSON line each, to the file
named by EXTENSION_RECORD.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

plan: dict[str, Any] = json.loads(os.environ.get("EXTENSION_PLAN", "{}"))
record_file = os.environ.get("EXTENSION_RECORD")
lock = threading.Lock()


def record(kind: str, **fields: Any) -> None:
    if record_file:
        with lock, open(record_file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "at": time.time(), **fields}) + "\n")


class Listener(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    posts = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Listener.posts += 1
        status = 500 if Listener.posts <= int(plan.get("refuse_posts", 0)) else 200
        try:
            events = json.loads(body)
        except ValueError:
            record("garbage", size=len(body))
        else:
            record("telemetry", status=status, events=events)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def call(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, None if body is None else json.dumps(body), named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def main() -> None:
    record("environment", variables=dict(os.environ), cwd=os.getcwd())
    time.sleep(plan.get("register_after_s", 0))
    if plan.get("exit_before_register"):
        sys.exit(4)
    status, headers, body = call(
        "POST",
        "/2020-01-01/extension/register",
        {"events": plan.get("events", ["INVOKE", "SHUTDOWN"])},
        Lambda_Extension_Name=plan.get("name", "tester"),
        Lambda_Extension_Accept_Feature="accountId",
    )
    record("register", status=status, body=body.decode())
    identifier = headers["Lambda-Extension-Identifier"]
    if "subscribe" in plan:
        listener = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        subscription = {
            "schemaVersion": "2022-12-13",
            "types": ["platform", "function", "extension"],
            "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{listener.server_port}/in"},
            "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
            **plan["subscribe"],
        }
        status, _, body = call("PUT", "/2022-07-01/telemetry", subscription, Lambda_Extension_Identifier=identifier)
        record("subscribed", status=status, body=body.decode())
    for name in ("init_error", "exit_error"):
        if name in plan and name == "init_error":
            report_error("init", identifier)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) if plan.get("child") else None
    if child is not None:
        record("child", pid=child.pid)
    if plan.get("never_next"):
        time.sleep(600)
    invokes = 0
    while True:
        status, _, body = call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=identifier)
        event = json.loads(body)
        record("event", status=status, event=event, pid=os.getpid())
        print(f"tester got {event.get('eventType')}", flush=True)
        if event.get("eventType") == "SHUTDOWN":
            if plan.get("ignore_shutdown"):
                time.sleep(600)
            time.sleep(plan.get("shutdown_s", 0))
            record("exit")
            sys.exit(plan.get("exit_code", 0))
        invokes += 1
        if invokes == plan.get("crash_on_invoke"):
            os._exit(plan.get("exit_code", 1))
        if invokes == plan.get("exit_error_on_invoke"):
            report_error("exit", identifier)
        if invokes >= plan.get("hang_from_invoke", sys.maxsize):
            time.sleep(600)
        time.sleep(plan.get("work_s", 0))


def report_error(which: str, identifier: str) -> None:
    status, _, body = call(
        "POST",
        f"/2020-01-01/extension/{which}/error",
        {"errorMessage": "told to", "errorType": "Extension.Told"},
        Lambda_Extension_Identifier=identifier,
        Lambda_Extension_Function_Error_Type="Extension.Told",
    )
    record("error_reported", status=status, body=body.decode())
    sys.exit(1)


main()
