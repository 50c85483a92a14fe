"""Dual shipping: one payload, a bounded queue per endpoint sharing its bytes, and the flush of them all.

Rules of this file:
- An endpoint's trouble is its own: queues fill, flush and fail apart from each other.
- The first endpoint is the signal's primary: its queue settles the signal's account. Every further endpoint has an
  account of its own, in the same units.
- A payload is in a queue, or in flight under a lease, or settled. One flush at a time works on a queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio
import msgspec

from .. import log
from ..buffer import BoundedBuffer, WhenFull
from ..errors import Unavailable
from ..stats import Account
from .breaker import Breaker
from .client import IntakeClient, Outcome
from .payload import Endpoint, Payload

parallel_sends: Final = 4


class _Queued:
    """A payload on one endpoint's queue; `uncertain` once an attempt may have arrived without our knowing."""

    __slots__ = ("payload", "uncertain")

    def __init__(self, payload: Payload, *, uncertain: bool = False) -> None:
        self.payload = payload
        self.uncertain = uncertain


class EndpointQueue:
    """What waits for one endpoint, at most `max_bytes` of compressed bodies; beyond that the oldest are dropped and counted."""

    def __init__(self, endpoint: Endpoint, client: IntakeClient, account: Account, *, max_bytes: int) -> None:
        self.endpoint = endpoint
        self.account = account
        self.breaker = Breaker()
        self._client = client
        self._queue: BoundedBuffer[_Queued] = BoundedBuffer(
            account, max_bytes=max_bytes, when_full=WhenFull.DROP_OLDEST, full_reason="queue_full"
        )
        self._flushing = anyio.Lock()

    def put(self, payload: Payload) -> None:
        self._queue.put(_Queued(payload), size=payload.size, items=payload.items)

    @property
    def is_empty(self) -> bool:
        return not len(self._queue)

    def has_room(self) -> bool:
        """Whether a payload of ordinary size still fits without dropping another."""
        statistics = self._queue.statistics()
        return statistics.bytes + statistics.leased_bytes <= statistics.max_bytes // 2

    async def flush(self, *, wait_for_open_breaker: bool) -> None:
        """Send what is queued until the queue is empty or the endpoint is in trouble.

        With an open breaker: nothing, or (`wait_for_open_breaker`) one payload as a probe and the rest if it gets through.
        """
        async with self._flushing:
            if self.breaker.is_open and not (wait_for_open_breaker and await self._send_some(1)):
                return
            while not self.is_empty:
                if not await self._send_some(parallel_sends):
                    return

    def take_all(self) -> list[Payload]:
        """Everything that is queued and not in flight, taken off the account's hands: for the spool."""
        with self._queue.lease() as entries:
            return [entry.value.payload for entry in entries]

    async def _send_some(self, count: int) -> bool:
        """Send up to `count` payloads at once. False when any of them could not be settled."""
        succeeded: list[bool] = []
        async with anyio.create_task_group() as group:
            for _ in range(min(count, len(self._queue))):
                group.start_soon(self._send_one, succeeded)
        if not succeeded:
            return False
        if any(succeeded):
            self.breaker.delivered()
        else:
            self.breaker.failed()
            if self.breaker.is_open:
                log.warning("intake_unavailable", endpoint=self.endpoint.name, queued=len(self._queue))
        return all(succeeded)

    async def _send_one(self, succeeded: list[bool]) -> None:
        if self.is_empty:
            return
        try:
            with self._queue.lease(max_entries=1) as (entry,):
                queued = entry.value
                payload = queued.payload
                try:
                    sent = await self._client.send(self.endpoint, payload, uncertain=queued.uncertain)
                except Unavailable as trouble:
                    queued.uncertain = queued.uncertain or trouble.maybe_delivered
                    raise
                except BaseException:
                    # Cancelled in mid-attempt: whether it arrived is not known.
                    queued.uncertain = True
                    raise
                if sent.repeated:
                    self.account.repeat(payload.items, payload.size)
                if sent.outcome is Outcome.DELIVERED:
                    self.account.deliver(payload.items, payload.size)
                else:
                    self.account.drop(f"refused_{sent.status}", payload.items, payload.size)
            succeeded.append(True)
        except Unavailable as trouble:
            log.debug("intake_send_put_off", endpoint=self.endpoint.name, reason=str(trouble))
            succeeded.append(False)


class Fanout:
    """A signal's way out. `queues[0]` is the primary."""

    def __init__(self, queues: Sequence[EndpointQueue]) -> None:
        self.queues = tuple(queues)

    @property
    def primary(self) -> EndpointQueue:
        return self.queues[0]

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts of the additional endpoints; the signal's own is its pipeline's to show."""
        return tuple(queue.account for queue in self.queues[1:])

    def has_room(self) -> bool:
        """Whether encoding more is of use now: while the primary's queue is well filled, data rests better unencoded."""
        return self.primary.has_room()

    @property
    def is_in_trouble(self) -> bool:
        return any(queue.breaker.is_open and not queue.is_empty for queue in self.queues)

    def put(self, payload: Payload) -> None:
        self.primary.put(payload)
        for queue in self.queues[1:]:
            queue.account.accept(payload.items, payload.size)
            queue.put(payload)

    async def flush(self, *, wait_for_open_breaker: bool) -> None:
        """All endpoints at once; ends when each is empty or in trouble, or with the caller's deadline."""
        async with anyio.create_task_group() as group:
            for queue in self.queues:
                if not queue.is_empty:
                    group.start_soon(_flush_queue, queue, wait_for_open_breaker)


async def _flush_queue(queue: EndpointQueue, wait_for_open_breaker: bool) -> None:
    await queue.flush(wait_for_open_breaker=wait_for_open_breaker)


class SpooledPayload(msgspec.Struct, frozen=True, kw_only=True):
    """A payload that outlives its process: which signal and endpoint it was for, and the payload itself."""

    signal: str
    endpoint: str
    payload: Payload


def open_fanout(account: Account, endpoints: Sequence[Endpoint], client: IntakeClient, *, max_bytes: int) -> Fanout:
    """A fanout whose first endpoint settles `account` and whose others get accounts named `signal@endpoint`."""
    return Fanout(
        [
            EndpointQueue(
                endpoint,
                client,
                account if index == 0 else Account(f"{account.name}@{endpoint.name}"),
                max_bytes=max_bytes,
            )
            for index, endpoint in enumerate(endpoints)
        ]
    )
