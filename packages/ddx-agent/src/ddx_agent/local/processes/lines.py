"""Bytes of a child's output into log lines: newline framing, and the framing that managed runtimes use. Pure.

A line is never longer than `max_line` bytes, so that memory is bounded whatever is printed: the rest of a longer line
becomes further lines, the rest of a longer framed message is left out.
"""

from __future__ import annotations

max_line = 256 * 1024


class LineSplitter:
    """`feed` gives the lines that are complete; `finish` the one that had no newline."""

    def __init__(self, limit: int = max_line) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        self._rest += data
        lines: list[str] = []
        start = 0
        while True:
            end = self._rest.find(b"\n", start)
            if end < 0:
                break
            self._cut(bytes(self._rest[start:end]), lines)
            start = end + 1
        del self._rest[:start]
        while len(self._rest) > self._limit:
            lines.append(_text(bytes(self._rest[: self._limit])))
            del self._rest[: self._limit]
        return lines

    def _cut(self, line: bytes, lines: list[str]) -> None:
        line = line.removesuffix(b"\r")
        lines.extend(_text(line[start : start + self._limit]) for start in range(0, len(line) or 1, self._limit))

    def finish(self) -> list[str]:
        if not self._rest:
            return []
        line = _text(bytes(self._rest))
        self._rest.clear()
        return [line]


class FrameSplitter:
    """The framing of `_LAMBDA_TELEMETRY_LOG_FD`: type, length (4 bytes each, big-endian), 8 bytes of time, the message.

    It keeps a message of many lines, such as a stack trace, one record. A frame whose type is unknown ends the framing:
    from there on the bytes are taken as plain lines.
    """

    _header = 16
    _type_prefix = b"\xa5\x5a\x00"

    def __init__(self, limit: int = max_line) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._missing = 0
        self._message = bytearray()
        self._plain: LineSplitter | None = None

    def feed(self, data: bytes) -> list[str]:
        if self._plain is not None:
            return self._plain.feed(data)
        self._rest += data
        messages: list[str] = []
        while True:
            if self._missing:
                if not self._rest:
                    return messages
                part = self._rest[: self._missing]
                del self._rest[: len(part)]
                self._missing -= len(part)
                if len(self._message) < self._limit:
                    self._message += part[: self._limit - len(self._message)]
                if not self._missing:
                    messages.append(_text(bytes(self._message)).removesuffix("\n"))
                    self._message.clear()
                continue
            if len(self._rest) < self._header:
                return messages
            if not self._rest.startswith(self._type_prefix):
                self._plain = LineSplitter(self._limit)
                rest = bytes(self._rest)
                self._rest.clear()
                return messages + self._plain.feed(rest)
            self._missing = int.from_bytes(self._rest[4:8], "big")
            del self._rest[: self._header]
            if not self._missing:
                messages.append("")

    def finish(self) -> list[str]:
        if self._plain is not None:
            return self._plain.finish()
        if not self._message:
            return []
        message = _text(bytes(self._message))
        self._message.clear()
        return [message]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
