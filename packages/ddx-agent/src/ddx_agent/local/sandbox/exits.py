"""Exits: how the processes of one life ended, and whether the platform had to end them."""

from __future__ import annotations

import msgspec
import trio

from ..processes.child import describe_exit
from ..telemetry import events


class ProcessExit(msgspec.Struct, frozen=True, kw_only=True):
    """How one process of the sandbox ended."""

    name: str
    code: int
    """As in `subprocess`: negative for a signal."""
    how: str
    after_ms: float
    """Since the shutdown began; 0 when the process ended before."""
    killed: bool
    """Whether the platform had to kill it."""
    state: str | None
    """The extension's state afterwards; `None` for the runtime."""


class Exits:
    """Each process is known by a key of its own: names need not be."""

    def __init__(self) -> None:
        self.ended: list[ProcessExit] = []
        self._killed: set[str] = set()
        self._shutdown_began: float | None = None

    @property
    def in_shutdown(self) -> bool:
        return self._shutdown_began is not None

    def begin_shutdown(self) -> float:
        """From here on an end is no failure. Gives the moment (Trio time)."""
        self._shutdown_began = began = trio.current_time()
        return began

    def will_kill(self, key: str) -> None:
        self._killed.add(key)

    def record(self, name: str, code: int, *, key: str, state: str | None) -> None:
        """Note an end just now; `code` and `state` as in `ProcessExit`."""
        began = self._shutdown_began
        self.ended.append(
            ProcessExit(
                name=name,
                code=code,
                how=describe_exit(code),
                after_ms=0.0 if began is None else events.milliseconds(trio.current_time() - began),
                killed=key in self._killed,
                state=state,
            )
        )
