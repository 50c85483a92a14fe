"""One extension's subscription: buffering, faults, delivery, drops.

The order of events is that of production. Nothing is delivered while the sandbox is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from ..faults import Faults
from . import events
from .buffer import TelemetryBuffer
from .delivery import HttpPoster, NotDelivered, TcpWriter
from .events import Event
from .frozen_time import Gate
from .subscription import Subscription

slow_consumer = "Some logs were dropped because the downstream consumer is slower than the logs production rate"


class Subscriber:
    """What it will get, and the task (`serve`) that posts it. `wall` gives Unix seconds."""

    def __init__(self, subscription: Subscription, faults: Faults, gate: Gate, wall: Callable[[], float]) -> None:
        self._subscription = subscription
        self._faults = faults
        self._gate = gate
        self._wall = wall
        self._buffer = TelemetryBuffer(subscription.buffering)
        self._drop_reason = slow_consumer
        self._held: list[bytes] = []
        self._wake = trio.Event()
        self._flushing = False
        self._posting = False
        self._idle = trio.Event()
        self._life = trio.CancelScope()
        self._garbage_left = faults.garbage_batches
        self._is_tcp = subscription.destination.path is None
        sender = TcpWriter if self._is_tcp else HttpPoster
        self._sender = sender(subscription.destination, gate)

    def offer(self, event: Event) -> None:
        if event.category not in self._subscription.types:
            return
        encoded = event.encode(objects=self._subscription.takes_objects)
        hold = self._faults.hold_past_next_invoke
        if hold and (event.type in hold or "*" in hold) and not self._flushing:
            self._held.append(encoded)
            return
        self._buffer.add(encoded, trio.current_time())
        self._wake.set()

    def release_held(self) -> None:
        for encoded in self._held:
            self._buffer.add(encoded, trio.current_time())
        self._held.clear()
        self._wake.set()

    def freeze(self) -> None:
        if self._sender.limit is not None:
            self._sender.limit.freeze()

    def thaw(self) -> None:
        if self._sender.limit is not None:
            self._sender.limit.thaw()

    async def flush(self) -> None:
        """Send all there is without waiting for a batch to become due; returns when it has been sent or given up."""
        self._flushing = True
        self.release_held()
        while (len(self._buffer) or self._posting) and not self._life.cancel_called:
            await self._idle.wait()

    def abandon(self) -> None:
        self._life.cancel()
        self._idle.set()

    async def serve(self) -> None:
        try:
            with self._life:
                while True:
                    await self._until_due()
                    await self._gate.wait_open()
                    self._posting = True
                    try:
                        await self._send_one_batch()
                    finally:
                        self._posting = False
                        self._idle.set()
                        self._idle = trio.Event()
        finally:
            with trio.CancelScope(shield=True):
                await self._sender.aclose()

    async def _until_due(self) -> None:
        while not (self._flushing and len(self._buffer)) and self._buffer.due_at > trio.current_time():
            with trio.move_on_at(self._buffer.due_at):
                await self._wake.wait()
                self._wake = trio.Event()

    async def _send_one_batch(self) -> None:
        batch = self._buffer.take(trio.current_time())
        dropped = self._buffer.take_dropped()
        if dropped is not None and "platform" in self._subscription.types:
            record = events.logs_dropped(reason=self._drop_reason, records=dropped.records, size=dropped.size)
            batch.insert(0, events.platform_event(self._wall(), "logsDropped", record).encode(objects=True))
            self._drop_reason = slow_consumer
        if self._faults.telemetry_delay_ms and not self._flushing:
            await trio.sleep(self._faults.telemetry_delay_ms / 1000)
            await self._gate.wait_open()
        try:
            while self._garbage_left:
                self._garbage_left -= 1
                await self._sender.send(b"\x00\xff not JSON at all [{")
            size = self._faults.split_batches or len(batch)
            for start in range(0, len(batch), size):
                part = batch[start : start + size]
                for _ in range(1 + self._faults.duplicate_batches):
                    await self._sender.send(self._body([*self._faults.inject_events, *part]))
        except NotDelivered as error:
            self._drop_reason = f"could not send events: {error}"
            self._buffer.count_dropped(len(batch), sum(map(len, batch)))

    def _body(self, items: Sequence[bytes]) -> bytes:
        if self._is_tcp:
            return b"".join(item + b"\n" for item in items)
        return b"[" + b",".join(items) + b"]"
