"""What was printed during one invocation, as the log stream would show it: bounded, and cut to the tail that callers get."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

OnLine = Callable[[str, str], None]
"""Told of each line as it comes: its source and its text."""

tail_bytes = 4096
max_lines = 5000


class InvocationLog:
    def __init__(self, on_line: OnLine | None = None) -> None:
        self._on_line = on_line
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.lines: list[tuple[str, str]] = []

    def add(self, source: str, line: str) -> None:
        """`source`: `function`, `platform`, or an extension's name."""
        if source != "platform" and len(self.lines) < max_lines:
            self.lines.append((source, line))
        if self._on_line is not None:
            self._on_line(source, line)
        raw = line.encode() + b"\n"
        self._tail.append(raw)
        self._tail_size += len(raw)
        while self._tail_size - len(self._tail[0]) >= tail_bytes:
            self._tail_size -= len(self._tail.popleft())

    def tail(self) -> bytes:
        return b"".join(self._tail)[-tail_bytes:]
