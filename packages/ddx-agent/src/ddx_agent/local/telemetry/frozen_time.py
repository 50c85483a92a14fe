"""What stands still with a frozen sandbox: a gate that is shut then, and a time limit that does not run."""

from __future__ import annotations

import math

import trio


class Gate:
    """Open while the sandbox runs, shut while it is frozen."""

    def __init__(self) -> None:
        self._open = trio.Event()
        self._open.set()

    def shut(self) -> None:
        if self._open.is_set():
            self._open = trio.Event()

    def open(self) -> None:
        self._open.set()

    async def wait_open(self) -> None:
        await self._open.wait()


class FreezableLimit:
    """A time limit that stands still while the sandbox is frozen."""

    def __init__(self, seconds: float) -> None:
        self.scope = trio.CancelScope(deadline=trio.current_time() + seconds)
        self._left: float | None = None

    def freeze(self) -> None:
        if self._left is None:
            self._left = max(0.0, self.scope.deadline - trio.current_time())
            self.scope.deadline = math.inf

    def thaw(self) -> None:
        if self._left is not None:
            self.scope.deadline = trio.current_time() + self._left
            self._left = None
