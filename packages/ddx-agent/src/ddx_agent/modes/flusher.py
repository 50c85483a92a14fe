"""Flusher: every flush of a mode goes through here, is counted, and never takes longer than it was given."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

import trio

from ddx_core import log
from ddx_core.flush import flush_all
from ddx_core.intake import last_grace
from ddx_core.pipeline import FlushKind, Pipeline

from .elapsed import Elapsed

# A flush that nobody waits for ends when its attempts do; this bounds a defect.
background_limit_s = 300.0


class Flusher:
    """`is_in_trouble` tells whether an endpoint's breaker is open with data waiting."""

    def __init__(self, pipelines: Sequence[Pipeline], elapsed: Elapsed, is_in_trouble: Callable[[], bool]) -> None:
        self._pipelines = pipelines
        self._elapsed = elapsed
        self._wanted = trio.Event()
        self._background: trio.CancelScope | None = None
        self.is_in_trouble = is_in_trouble
        self.last_ms = elapsed.ms()
        self.counts: Counter[str] = Counter()
        self.blocking_seconds: deque[float] = deque(maxlen=100)

    async def wait_for(self, kind: FlushKind, *, seconds: float) -> None:
        """Flush now, for at most `seconds`. Only the last flush goes on when the caller is cancelled."""
        self.last_ms = self._elapsed.ms()
        async with trio.open_nursery() as nursery:
            if kind is FlushKind.FINAL:
                nursery.start_soon(self._end_background, last_grace(seconds))
            result = await flush_all(self._pipelines, kind, seconds=seconds, shield=kind is FlushKind.FINAL)
            nursery.cancel_scope.cancel("flushed")
        self.counts[kind.value] += 1
        if not result.in_time:
            self.counts["cut_short"] += 1
            rest = "kept" if kind is FlushKind.FINAL else "goes on while nobody waits, or with the next flush"
            log.warning("flush_cut_short", kind=kind.value, seconds=round(result.seconds, 3), rest=rest)
        if kind is FlushKind.BLOCKING:
            self.blocking_seconds.append(result.seconds)
        log.debug("flush_finished", kind=kind.value, seconds=round(result.seconds, 4))

    def start_in_background(self) -> None:
        """Ask for a flush that nobody waits for. While one runs, the wish is kept and served after it."""
        self._wanted.set()

    async def serve_background(self) -> None:
        """Run the background flushes, one at a time, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            self.last_ms = self._elapsed.ms()
            with trio.CancelScope() as self._background:
                await flush_all(self._pipelines, FlushKind.BACKGROUND, seconds=background_limit_s, shield=False)
            self._background = None
            self.counts[FlushKind.BACKGROUND.value] += 1

    async def _end_background(self, grace_s: float) -> None:
        await trio.sleep(grace_s)
        if self._background is not None:
            self._background.cancel("the last flush needs what it holds")
