"""Events of one sandbox life on their way to its subscribers, and to those who subscribe later in its init (replay)."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..faults import Faults
from ..quotas import max_extensions
from ..refusal import Refusal
from . import events
from .events import Event
from .frozen_time import Gate
from .subscriber import Subscriber
from .subscription import Subscription

max_replayed = 10_000


class TelemetryHub:
    """`wall` gives Unix seconds. Nothing is delivered while the sandbox is frozen."""

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
