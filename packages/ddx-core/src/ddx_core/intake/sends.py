"""Sends: some payloads on their way to one endpoint at the same time, and what became of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


class Sends:
    """`left` (at first `count`) sends, each run by a task. The last one to end calls `when_ended`; then `ended` is set.

    Each appends to `results` what it came to: nothing if it was called back or cancelled. `is_last`: they are of a last flush.
    """

    def __init__(self, count: int, *, when_ended: Callable[[Sends], None], is_last: bool = False) -> None:
        self.is_last = is_last
        self.results: list[bool | None] = []
        self.ended = anyio.Event()
        self.left = count
        self._when_ended = when_ended
        self._scopes: list[anyio.CancelScope] = []
        self._is_called_back = False

    @property
    def are_settled(self) -> bool:
        """Whether all that came to something were settled, and there was one."""
        return bool(self.results) and all(self.results)

    async def run(self, send: Callable[[list[bool | None]], Awaitable[None]]) -> None:
        try:
            with anyio.CancelScope() as scope:
                self._scopes.append(scope)
                if not self._is_called_back:
                    await send(self.results)
        finally:
            self.left -= 1
            if not self.left:
                self._when_ended(self)
                self.ended.set()

    def call_back(self) -> None:
        """Cut off what is still on its way."""
        self._is_called_back = True
        for scope in self._scopes:
            scope.cancel()
