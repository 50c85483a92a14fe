"""Events of one sandbox life on their way to its subscribers: replay, buffering, faults, delivery, drops.

Per subscriber the order is that of production. Nothing is delivered while the sandbox is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from . import telemetry_events as events
from .answers import Refusal
from .extension_table import max_extensions
from .faults import Faults
from .telemetry_buffer import TelemetryBuffer
from .telemetry_delivery import Gate, HttpPoster, NotDelivered, TcpWriter
from .telemetry_events import Event
from .telemetry_subscription import Subscription

max_replayed = 10_000

slow_consumer = "Some logs were dropped because the downstream consumer is slower than the logs production rate"


class Subscriber:
    """One extension's subscription: what it will get, and the task that posts it."""

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
        self.delivered_events = 0
        self.delivered_batches = 0

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
                self.delivered_batches += 1
                self.delivered_events += len(part)
        except NotDelivered as error:
            self._drop_reason = f"could not send events: {error}"
            self._buffer.count_dropped(len(batch), sum(map(len, batch)))

    def _body(self, items: Sequence[bytes]) -> bytes:
        if self._is_tcp:
            return b"".join(item + b"\n" for item in items)
        return b"[" + b",".join(items) + b"]"


class TelemetryHub:
    """Takes every event of a life, and passes it to whoever has subscribed, also to those who subscribe later in init."""

    def __init__(self, faults: Faults, *, wall: Callable[[], float]) -> None:
        self._faults = faults
        self._wall = wall
        self._gate = Gate()
        self._arrivals, self._arrived = trio.open_memory_channel[Subscriber](max_extensions)
        self._replay: list[Event] | None = []
        self.subscribers: dict[str, Subscriber] = {}

    async def serve(self) -> None:
        """Post to every subscriber until cancelled."""
        async with trio.open_nursery() as nursery:
            async for subscriber in self._arrived:
                nursery.start_soon(subscriber.serve)

    def emit(self, event: Event) -> None:
        if self._replay is not None and len(self._replay) < max_replayed:
            self._replay.append(event)
        for subscriber in self.subscribers.values():
            subscriber.offer(event)

    def emit_platform(self, name: str, record: events.Record) -> None:
        self.emit(events.platform_event(self._wall(), name, record))

    @property
    def is_closed(self) -> bool:
        return self._replay is None

    def close_subscription(self) -> None:
        self._replay = None

    def subscribe(self, identifier: str, name: str, subscription: Subscription) -> Refusal | None:
        if self._replay is None:
            return Refusal(403, "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed")
        if identifier in self.subscribers:
            return Refusal(500, "InternalServerError", "Internal Server Error")
        subscriber = Subscriber(subscription, self._faults, self._gate, self._wall)
        for event in self._replay:
            subscriber.offer(event)
        self.subscribers[identifier] = subscriber
        self._arrivals.send_nowait(subscriber)
        self.emit_platform("telemetrySubscription", events.telemetry_subscription(name=name, types=subscription.types))
        return None

    def unsubscribe(self, identifier: str) -> None:
        """The extension's process has ended: what it has not been sent is lost."""
        subscriber = self.subscribers.pop(identifier, None)
        if subscriber is not None:
            subscriber.abandon()

    def release_held(self) -> None:
        for subscriber in self.subscribers.values():
            subscriber.release_held()

    def freeze(self) -> None:
        self._gate.shut()
        for subscriber in self.subscribers.values():
            subscriber.freeze()

    def thaw(self) -> None:
        for subscriber in self.subscribers.values():
            subscriber.thaw()
        self._gate.open()

    async def flush(self) -> None:
        async with trio.open_nursery() as nursery:
            for subscriber in self.subscribers.values():
                nursery.start_soon(subscriber.flush)
