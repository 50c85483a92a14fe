"""Dual shipping: one payload, a bounded queue per endpoint sharing its bytes, and the flush of them all.

Rules of this file:
- An endpoint's trouble is its own: queues fill, flush and fail apart from each other.
- The first endpoint is the signal's primary: its queue settles the signal's account. Every further endpoint has an
  account of its own, in the same units.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from ..stats import Account
from .client import IntakeClient
from .endpoint_queue import EndpointQueue, Lane, Split
from .payload import Endpoint, Payload


class Fanout:
    """A signal's way out: for each endpoint a queue, or one a lane. `queues[0]` is the primary's first."""

    def __init__(self, queues: Sequence[EndpointQueue]) -> None:
        self.queues = tuple(queues)

    @property
    def primary(self) -> EndpointQueue:
        return self.queues[0]

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts of the additional endpoints; the signal's own is its pipeline's to show."""
        return tuple(dict.fromkeys(queue.account for queue in self.queues if queue.account is not self.primary.account))

    def split_with(self, split: Split) -> None:
        """How payloads of this signal are made smaller when an endpoint finds them too large; without it they are dropped."""
        for queue in self.queues:
            queue.split_with(split)

    def has_room(self) -> bool:
        """Whether encoding more is of use now: while the primary's queue is well filled, data rests better unencoded."""
        return all(queue.has_room() for queue in self.queues if queue.account is self.primary.account)

    @property
    def is_unanswered(self) -> bool:
        """Whether every queue holds payloads that its endpoint does not take now.

        Data is kept for full payloads then: many small ones would cost a request each later on.
        """
        return all((queue.breaker.is_open or queue.is_left_alone) and not queue.is_empty for queue in self.queues)

    @property
    def is_in_trouble(self) -> bool:
        return any(queue.breaker.is_open and not queue.is_empty for queue in self.queues)

    def lift_limits(self) -> None:
        """Before the last flush: what buffers still hold (they are bounded) must not push out what waits here already, for all
        of it can still be sent or spooled, and takes less room here than there."""
        for queue in self.queues:
            queue.lift_limit()

    def put(self, payload: Payload) -> None:
        for queue in self.queues:
            if queue.takes(payload):
                if queue.account is not self.primary.account:
                    queue.account.accept(payload.items, payload.size)
                queue.put(payload)

    async def flush(self, *, wait_for_open_breaker: bool, last_chance: bool = False) -> None:
        """All endpoints at once; ends when each holds nothing or is in trouble, or with the caller's deadline.

        What another flush has in flight is waited for with `wait_for_open_breaker` alone. `last_chance`: no later flush will
        come, so an endpoint that asked for a pause is tried all the same.
        """
        async with anyio.create_task_group() as group:
            for queue in self.queues:
                if not queue.holds_nothing:
                    group.start_soon(_flush_queue, queue, wait_for_open_breaker, last_chance)


async def _flush_queue(queue: EndpointQueue, wait_for_open_breaker: bool, last_chance: bool) -> None:
    await queue.flush(wait_for_open_breaker=wait_for_open_breaker, last_chance=last_chance)


def open_fanout(
    account: Account,
    endpoints: Sequence[Endpoint],
    client: IntakeClient,
    *,
    max_bytes: int,
    lanes: Sequence[Lane] = (),
) -> Fanout:
    """A fanout whose first endpoint settles `account` and whose others get accounts named `signal@endpoint`.

    `lanes`, where the signal has payloads for several APIs of an endpoint, must have all their paths.
    """
    queues: list[EndpointQueue] = []
    for index, endpoint in enumerate(endpoints):
        own = account if index == 0 else Account(f"{account.name}@{endpoint.name}")
        if not lanes:
            queues.append(EndpointQueue(endpoint, client, own, max_bytes=max_bytes))
        queues += [
            EndpointQueue(endpoint, client, own, max_bytes=int(max_bytes * lane.share), lane=lane) for lane in lanes
        ]
    return Fanout(queues)
