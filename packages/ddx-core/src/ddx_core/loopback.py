"""One exchange with the Lambda APIs over plain HTTP/1.1: bytes out, bytes in. Pure, and free of imports worth counting.

It is read in the first milliseconds of a cold start, before anything heavy is imported; that is why it is not built on a
library. It knows just what those APIs use: a fixed-length or chunked answer on a connection of its own.
"""

from __future__ import annotations

max_answer_bytes = 1 << 20


class LoopbackError(Exception):
    """The peer's answer is no HTTP, or is larger than any answer of these APIs."""


class Answer:
    """`headers` by lower-case name."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def split_host_port(address: str) -> tuple[str, int]:
    """`127.0.0.1:9001` → host and port; port 80 when there is none."""
    host, colon, port = address.rpartition(":")
    if not colon or _decimal(port) is None:
        return address, 80
    return host.strip("[]"), int(port)


def render_request(method: str, address: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """One request as bytes. `address` is the peer's, `host:port`."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address}", "Connection: close"]
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body


class AnswerReader:
    """Feed it what arrives; it gives the answer once that is complete. Interim (1xx) answers are passed over."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Answer | None:
        """`data` is empty at the end of the stream. Raises LoopbackError when no complete answer can come any more."""
        self._buffer += data
        if len(self._buffer) > max_answer_bytes:
            raise LoopbackError("the answer is too large")
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                if not data:
                    raise LoopbackError("the connection ended before an answer")
                return None
            status, headers = _parse_head(head)
            if 100 <= status < 200:
                self._buffer = rest
                continue
            body = b"" if status in (204, 304) else _body(headers, rest, at_end=not data)
            if body is None:
                if not data:
                    raise LoopbackError("the connection ended inside an answer")
                return None
            return Answer(status, headers, body)


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    status = _decimal(parts[1]) if len(parts) > 1 and parts[0].startswith("HTTP/1.") else None
    if status is None:
        raise LoopbackError(f"no HTTP answer: {lines[0][:60]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return status, headers


def _body(headers: dict[str, str], rest: bytes, *, at_end: bool) -> bytes | None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _join_chunks(rest)
    length = headers.get("content-length")
    if length is None:
        return rest if at_end else None
    size = _decimal(length)
    if size is None:
        raise LoopbackError(f"bad Content-Length: {length[:20]!r}")
    return rest[:size] if len(rest) >= size else None


def _join_chunks(data: bytes) -> bytes | None:
    parts: list[bytes] = []
    at = 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        digits = data[at:end].split(b";", 1)[0].strip()
        # int() alone would take a sign, and a negative size would never come to an end.
        if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise LoopbackError("bad chunk size")
        size = int(digits, 16)
        if size == 0:
            return b"".join(parts)
        start = end + 2
        if len(data) < start + size + 2:
            return None
        parts.append(data[start : start + size])
        at = start + size + 2


def _decimal(text: str) -> int | None:
    """Digits of ASCII alone, and no more than any port, status or length has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
