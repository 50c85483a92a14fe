"""Managed Instances: many invocations at once, never frozen; data leaves continuously beside the wait for SHUTDOWN."""

from __future__ import annotations

from collections import deque

import trio

from ddx_agent.link import EventSource
from ddx_core import log
from ddx_core.events import Shutdown
from ddx_core.pipeline import FlushKind

from .flusher import Flusher


class Managed:
    """`run` returns the SHUTDOWN event."""

    name = "managed-instances"

    def __init__(self, *, source: EventSource, flusher: Flusher, interval_s: float, max_added_s: float) -> None:
        self._source = source
        self._flusher = flusher
        self._interval_s = interval_s
        self._max_added_s = max_added_s
        self.has_telemetry = False
        self.added_ms: deque[float] = deque(maxlen=1)

    async def run(self) -> Shutdown:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._flush_continuously)
            while True:
                event = await self._source.next()
                if isinstance(event, Shutdown):
                    nursery.cancel_scope.cancel("shutdown")
                    return event
                log.warning("invoke_not_expected", request_id=event.request_id)

    async def flush_at_end(self) -> None:
        await self._flusher.wait_for(FlushKind.BLOCKING, seconds=self._max_added_s)

    async def _flush_continuously(self) -> None:
        while True:
            await trio.sleep(self._interval_s)
            self._flusher.start_in_background()
