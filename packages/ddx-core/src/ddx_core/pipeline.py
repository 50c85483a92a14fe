"""What core asks of a signal, and how its task tree is started so that its failure ends with it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import trio

from . import log
from .stats import Account


class FlushKind(Enum):
    """Why a flush runs; it decides how much may be waited for."""

    BLOCKING = "blocking"
    """Somebody waits and may be billed for it: endpoints whose breaker is open are left alone."""
    BACKGROUND = "background"
    """Nobody waits: every endpoint is tried, one probe first where the breaker is open."""
    FINAL = "final"
    """The last one of this process: everything goes out, open time buckets included."""


class Served(Protocol):
    """A task tree with a name."""

    @property
    def name(self) -> str: ...

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. `started()` once the ports are bound."""
        ...


class Pipeline(Served, Protocol):
    """One signal: receivers, processing, buffer, encoder, and the outbox that ships it."""

    @property
    def accounts(self) -> Sequence[Account]:
        """The signal's own account first."""
        ...

    async def flush(self, kind: FlushKind) -> None:
        """Drain receivers, encode what is held and send it, under the caller's deadline. Never raises for an intake's trouble."""
        ...


async def start_contained(nursery: trio.Nursery, pipeline: Served) -> None:
    """Start one signal's task tree and wait until it serves; a failure inside it is reported and ends there."""
    ready = trio.Event()

    async def tree() -> None:
        try:
            async with trio.open_nursery() as own:
                await own.start(pipeline.serve)
                ready.set()
        except* Exception as failures:
            log.error("signal_stopped", about=pipeline.name, exc_info=failures)
        finally:
            ready.set()

    nursery.start_soon(tree)
    await ready.wait()
