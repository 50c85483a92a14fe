"""An intake that costs next to nothing: counts requests and bytes, answers 202. A process of its own, started by `Intake`.

    python -m benchmarks.intake DELAY_MS

It prints its port; for each line of input it prints what it has counted so far.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType

from benchmarks.posting import read_message


class _Counter:
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._requests = 0
        self._wire_bytes = 0

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while True:
            try:
                message = read_message(connection.recv, rest)
            except OSError:
                return
            if message is None:
                return
            _, body, rest = message
            with self._lock:
                self._requests += 1
                self._wire_bytes += len(body)
            if self._delay_s:
                time.sleep(self._delay_s)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {"requests": self._requests, "wire_bytes": self._wire_bytes}


def main() -> None:
    counter = _Counter(float(sys.argv[1]) / 1000)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=counter.serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    for _ in sys.stdin:
        print(json.dumps(counter.counts()), flush=True)


class Intake:
    """The process, as a context manager. `delay_ms`: how long it thinks before each answer."""

    def __init__(self, *, delay_ms: float = 0) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.intake", str(delay_ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read())
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._child.kill()
        self._child.communicate()

    def counts(self) -> dict[str, int]:
        assert self._child.stdin is not None
        self._child.stdin.write("?\n")
        self._child.stdin.flush()
        return json.loads(self._read())

    def _read(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the benchmarks' intake has ended")
        return line


if __name__ == "__main__":
    main()
