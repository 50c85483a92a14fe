"""LateWork: what was put off, in its order, and done by whoever needs it done: any thread, one at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class LateWork:
    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], object], int]] = deque()
        self._catching_up = threading.Lock()

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    @property
    def bytes(self) -> int:
        """Size of what was put off and is not done."""
        # Copied in one step: another thread may be at work on it.
        return sum(size for _, size in list(self._waiting))

    def put_off(self, work: Callable[[], object], size: int) -> None:
        """`size` in bytes, of what the work holds on to."""
        self._waiting.append((work, size))

    def catch_up(self) -> None:
        """Do all of it, waiting for another thread that does. What the work raises comes out; the rest is left for the next."""
        while True:
            with self._catching_up:
                if not self._waiting:
                    return
                work, _ = self._waiting[0]
                try:
                    work()
                finally:
                    self._waiting.popleft()
