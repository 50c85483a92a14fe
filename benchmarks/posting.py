"""HTTP with as little of the client's own time as can be: raw sockets, requests rendered beforehand."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

_most_tries: Final = 600


def render(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def read_message(receive: Callable[[int], bytes], data: bytes = b"") -> tuple[bytes, bytes, bytes] | None:
    """Head, body, and what came after it; None at the end of the stream. Bodies have a Content-Length."""
    while b"\r\n\r\n" not in data:
        received = receive(1 << 18)
        if not received:
            return None
        data += received
    head, _, rest = data.partition(b"\r\n\r\n")
    length = content_length(head)
    parts = [rest]
    have = len(rest)
    while have < length:
        received = receive(1 << 18)
        if not received:
            return None
        parts.append(received)
        have += len(received)
    body = b"".join(parts)
    return head, body[:length], body[length:]


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class Client:
    """Posts requests one after the other on one kept connection, each until it is taken. `put_off` counts 429s."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.put_off = 0

    def post(self, request: bytes) -> float:
        """Seconds until the answer that took it."""
        for _ in range(_most_tries):
            began = time.perf_counter()
            self._socket.sendall(request)
            message = read_message(self._socket.recv)
            if message is None:
                raise RuntimeError("the server closed the connection")
            status = int(message[0].split(b" ", 2)[1])
            if 200 <= status < 300:
                return time.perf_counter() - began
            if status != 429:
                raise RuntimeError(f"the server answered {status}: {message[1][:200]!r}")
            self.put_off += 1
            time.sleep(0.05)
        raise RuntimeError("the server takes nothing any more")

    def close(self) -> None:
        self._socket.close()


def post_once(port: int, request: bytes) -> float:
    """Seconds for one request on a connection of its own, connecting included: what a tracer's call takes."""
    began = time.perf_counter()
    client = Client(port)
    client.post(request)
    took = time.perf_counter() - began
    client.close()
    return took
