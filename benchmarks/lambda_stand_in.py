"""Lambda's side of one sandbox, as small as it can be so that its own time does not count: raw sockets, a thread a call.

Only what a cold start and a life without faults need; the faithful platform is ddx_agent.local.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from benchmarks.posting import Client, read_message, render

arn: Final = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
_patience_s: Final = 20.0


class LambdaStandIn:
    """Times are of `time.perf_counter`, taken when a call has been read whole."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._registered: queue.Queue[float] = queue.Queue()
        self._nexts: queue.Queue[float] = queue.Queue()
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._telemetry_port = 0
        self._telemetry: Client | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> LambdaStandIn:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # A thread in accept() would outlive close() alone.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._telemetry is not None:
            self._telemetry.close()

    def registered(self) -> float:
        """When the call of register came."""
        return self._registered.get(timeout=_patience_s)

    def asked_next(self) -> float:
        """When the extension asked for its next event; each call of next is told once."""
        return self._nexts.get(timeout=_patience_s)

    def invoke(self, request_id: str, *, within_s: float = 60.0) -> None:
        deadline_ms = int((time.time() + within_s) * 1000)
        self._events.put(
            {"eventType": "INVOKE", "requestId": request_id, "deadlineMs": deadline_ms, "invokedFunctionArn": arn}
        )
        self.tell(event("platform.start", requestId=request_id, version="$LATEST"))

    def shutdown(self) -> None:
        deadline_ms = int((time.time() + 2) * 1000)
        self._events.put({"eventType": "SHUTDOWN", "shutdownReason": "SPINDOWN", "deadlineMs": deadline_ms})

    def tell(self, *events: dict[str, Any]) -> float:
        """Deliver telemetry; when that began."""
        if self._telemetry is None:
            self._telemetry = Client(self._telemetry_port)
        request = render("/", json.dumps(events).encode(), "Content-Type: application/json")
        began = time.perf_counter()
        self._telemetry.post(request)
        return began

    def end(self, request_id: str, *lines: dict[str, Any]) -> float:
        """The runtime is done: its last lines and that news, in one delivery. When that began."""
        metrics = {"durationMs": 12.5, "producedBytes": 40}
        return self.tell(*lines, event("platform.runtimeDone", requestId=request_id, status="success", metrics=metrics))

    def report(self, request_id: str) -> None:
        metrics = {"durationMs": 13.1, "billedDurationMs": 14, "memorySizeMB": 512, "maxMemoryUsedMB": 98}
        self.tell(event("platform.report", requestId=request_id, status="success", metrics=metrics))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            message = read_message(connection.recv)
            now = time.perf_counter()
            if message is None:
                return
            path = message[0].split(b" ", 2)[1]
            if path.endswith(b"/event/next"):
                self._nexts.put(now)
                _answer(connection, self._events.get())
            elif path.endswith(b"/register"):
                self._registered.put(now)
                name = {"functionName": "orders", "functionVersion": "$LATEST", "handler": "h"}
                _answer(connection, {**name, "accountId": "123456789012"})
            else:
                uri: str = json.loads(message[1])["destination"]["URI"]
                self._telemetry_port = int(uri.rstrip("/").rpartition(":")[2])
                _answer(connection, "OK")


def event(kind: str, record: str | None = None, /, **fields: Any) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": at, "type": kind, "record": fields if record is None else record}


def _answer(connection: socket.socket, document: Any) -> None:
    body = json.dumps(document).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Extension-Identifier: 11111111-2222-3333-4444-555555555555\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
