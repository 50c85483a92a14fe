"""EndpointQueue: what waits for one endpoint, and how it gets there.

Rules of this file:
- A payload is in the queue, or in flight under a lease, or settled. One flush at a time works on a queue.
- What a flush has in flight when its caller gives up goes on by itself where the client has a place for that (`carry_on_in`):
  to cut an exchange off is to send its payload twice. Who pays for waiting (a blocking flush) waits for none of it again.
  Only exchanges go on: what would then have to be tried again is in the queue, and a pause that was asked for is known.
- A payload that the endpoint finds too large (413) is split in this queue alone, down to single items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import anyio
import msgspec

from .. import log
from ..buffer import BoundedBuffer, WhenFull
from ..clock import ns_per_s
from ..errors import Unavailable
from ..stats import Account
from .breaker import Breaker
from .client import IntakeClient, Outcome, Sent
from .payload import Endpoint, Payload
from .progress import Doubt
from .sends import Sends

parallel_sends: Final = 4
fair_chance_s: Final = 0.2
probe_s: Final = 10.0
"""A probe of an endpoint in trouble is given up after this time, whatever an attempt may take: one that hangs would keep the
next one from finding it well again."""
longest_pause_s: Final = 300.0
"""A server that asks to be left alone for longer is asked again after this time."""
last_grace_s: Final = 0.5
too_large: Final = 413

Split = Callable[[Payload], Sequence[Payload]]
"""Makes smaller payloads of one, which hold all its items and no other; nothing when there is no way to. Pure: what it is
given may come from the spool, so it must not count on having made it."""


def last_grace(seconds: float) -> float:
    """For how many of the `seconds` that a last flush has it lets earlier ones go on. What hangs then gives way: it holds data
    that would be lost, while an attempt that is cut off is only in doubt."""
    return min(last_grace_s, seconds * 0.25)


class _Queued:
    """A payload on one endpoint's queue, and how often it may have arrived without our knowing.

    `counted` is how many of those the account knows of.
    """

    __slots__ = ("counted", "doubt", "payload")

    def __init__(self, payload: Payload, *, copies: int = 0, counted: int = 0) -> None:
        self.payload = payload
        self.doubt = Doubt(copies)
        self.counted = counted


class SpooledPayload(msgspec.Struct, frozen=True, kw_only=True):
    """A payload that outlives its process: which signal and endpoint it was for, and the payload itself.

    `uncertain`: an attempt may have arrived already, so a later delivery can be a repeat.
    """

    signal: str
    endpoint: str
    payload: Payload
    uncertain: bool = False


class Lane(msgspec.Struct, frozen=True):
    """Payloads with one of these `paths` wait, fail and are put off apart from all others of their signal.

    `share` is their part of the bytes that may wait for an endpoint.
    """

    paths: frozenset[str]
    share: float


class EndpointQueue:
    """What waits for one endpoint, at most `max_bytes` of compressed bodies; beyond that the oldest are dropped and counted.

    A payload that is larger than that could never come in. It is taken while there is room for an ordinary one, so there is
    one such payload at a time, and no more beyond the bound than that.

    With a `lane` it is only for the payloads of that one.
    """

    def __init__(
        self, endpoint: Endpoint, client: IntakeClient, account: Account, *, max_bytes: int, lane: Lane | None = None
    ) -> None:
        self.endpoint = endpoint
        self._lane = lane
        self.account = account
        self.breaker = Breaker()
        self._client = client
        self._queue: BoundedBuffer[_Queued] = BoundedBuffer(
            account, max_bytes=max_bytes, when_full=WhenFull.DROP_OLDEST, full_reason="queue_full"
        )
        self._flushing = anyio.Lock()
        self._in_flight: list[Sends] = []
        self._settled = 0
        self._leave_alone_until_ns = 0
        self._trouble = f"no answer within {fair_chance_s:g} s or more"
        self._split: Split | None = None

    def split_with(self, split: Split) -> None:
        """What the endpoint finds too large goes in parts from here on."""
        self._split = split

    def lift_limit(self) -> None:
        """See `Fanout.lift_limits`."""
        self._queue.lift_limit()

    def takes(self, payload: Payload) -> bool:
        """Whether a payload belongs here."""
        return self._lane is None or payload.path in self._lane.paths

    def put(self, payload: Payload, *, uncertain: bool = False) -> None:
        self._enqueue(_Queued(payload, copies=int(uncertain)))

    @property
    def is_empty(self) -> bool:
        """Nothing waits; something may still be in flight."""
        return not len(self._queue)

    @property
    def holds_nothing(self) -> bool:
        """Nothing waits and nothing is in flight."""
        statistics = self._queue.statistics()
        return not statistics.entries and not statistics.leased_bytes

    @property
    def is_left_alone(self) -> bool:
        """The endpoint has asked for a pause (Retry-After) that is not over."""
        left_ns = self._leave_alone_until_ns - self._client.wall_clock()
        return 0 < left_ns <= longest_pause_s * ns_per_s

    def has_room(self) -> bool:
        """Whether a payload of ordinary size still fits without dropping another."""
        return self._queue.is_half_free

    def _enqueue(self, queued: _Queued) -> None:
        size, items = queued.payload.size, queued.payload.items
        if self._queue.can_ever_hold(size) or not self.has_room():
            self._queue.put(queued, size=size, items=items)
        else:
            self._queue.put_beyond(queued, size=size, items=items)

    async def flush(self, *, wait_for_open_breaker: bool, last_chance: bool = False) -> None:
        """Send what is queued until the queue is empty or the endpoint is in trouble.

        With an open breaker: nothing, or (`wait_for_open_breaker`) one payload as a probe and the rest if it gets through.
        While the endpoint has asked for a pause: nothing, unless this is the `last_chance`.
        """
        if not wait_for_open_breaker and self.breaker.is_open:
            return  # at once: a background flush may be at work, and wait long for its probe
        settled_before, began = self._settled, anyio.current_time()
        cut_off = True
        try:
            if last_chance:
                await self._call_back()
            async with self._flushing:
                if not self.is_left_alone or last_chance:
                    await self._flush_under_lock(wait_for_open_breaker=wait_for_open_breaker, is_last=last_chance)
            cut_off = False
        finally:
            # An endpoint that hangs until the caller's deadline has failed like one that refuses, if it had time to answer.
            had_time = anyio.current_time() - began >= fair_chance_s
            if cut_off and had_time and self._settled == settled_before:
                self._count_failure()

    async def _flush_under_lock(self, *, wait_for_open_breaker: bool, is_last: bool) -> None:
        if self.breaker.is_open and not (wait_for_open_breaker and await self._probe(is_last=is_last)):
            return
        while not self.is_empty or (wait_for_open_breaker and self._in_flight):
            if not self.is_empty:
                goes_on = await self._send_some(parallel_sends, is_last=is_last)
            else:
                # What comes of it may be parts of a payload that was too large.
                in_flight = list(self._in_flight)
                await self._see_the_end_of(in_flight)
                goes_on = all(sends.are_settled for sends in in_flight)
            if not goes_on:
                return

    async def _probe(self, *, is_last: bool) -> bool:
        """Send one payload, or see what becomes of those in flight. True: the endpoint takes data again."""
        with anyio.move_on_after(probe_s):
            await self._see_the_end_of(self._in_flight)
            return not self.breaker.is_open or self.is_empty or await self._send_some(1, is_last=is_last)
        for sends in self._in_flight:
            sends.call_back()
        self._count_failure()
        return False

    async def _call_back(self) -> None:
        """End what flushes before the last have in flight: what is not settled within a moment is in the queue again."""
        in_flight = [sends for sends in self._in_flight if not sends.is_last]
        left_s = anyio.current_effective_deadline() - anyio.current_time()
        try:
            with anyio.move_on_after(last_grace(left_s)):
                await self._see_the_end_of(in_flight)
        finally:
            for sends in in_flight:
                sends.call_back()
            with anyio.CancelScope(shield=True):
                await self._see_the_end_of(in_flight)

    async def _see_the_end_of(self, in_flight: Sequence[Sends]) -> None:
        for sends in list(in_flight):
            await sends.ended.wait()

    def take_spoolable(self, signal: str) -> list[SpooledPayload]:
        """Everything that is queued and not in flight, taken off the account's hands: for the spool, which knows the queue
        again by the `signal` and the endpoint's name."""
        with self._queue.lease() as entries:
            return [
                SpooledPayload(
                    signal=signal,
                    endpoint=self.endpoint.name,
                    payload=entry.value.payload,
                    uncertain=entry.value.doubt.maybe_delivered,
                )
                for entry in entries
            ]

    async def _send_some(self, count: int, *, is_last: bool) -> bool:
        """Send payloads, so that up to `count` are in flight. False when any of them could not be settled."""
        count -= sum(sends.left for sends in self._in_flight)
        if count <= 0:
            await self._see_the_end_of(self._in_flight)
            return not self.breaker.is_open
        sends = Sends(min(count, len(self._queue)), when_ended=self._judge, is_last=is_last)
        self._in_flight.append(sends)
        send = partial(self._send_contained, anyio.current_effective_deadline())
        carrier = self._client.carrier
        if carrier is not None:
            for _ in range(sends.left):
                carrier.start_soon(sends.run, send)
            await sends.ended.wait()
        else:
            async with anyio.create_task_group() as group:
                for _ in range(sends.left):
                    group.start_soon(sends.run, send)
        return sends.are_settled

    def _judge(self, sends: Sends) -> None:
        self._in_flight.remove(sends)
        if any(sends.results):
            self.breaker.delivered()
        elif False in sends.results:
            self._count_failure()

    async def _send_contained(self, deadline: float, results: list[bool | None]) -> None:
        """The last handler of one endpoint: a defect (a key source that raises) must not end the flush of the others."""
        try:
            await self._send_one(deadline, results)
        except* Exception as failures:
            # `except*`: one that shows when the send is called back comes in one group with the cancellation.
            log.error("intake_send_failed", endpoint=self.endpoint.name, exc_info=failures)
            results.append(None)

    async def _send_one(self, deadline: float, results: list[bool | None]) -> None:
        """Appends True: settled; False: the endpoint is in trouble; None: put off for a reason of our own.

        `deadline`: the flush's, which an attempt may outlive.
        """
        if self.is_empty:
            return
        try:
            with self._queue.lease(max_entries=1) as (entry,):
                queued = entry.value
                payload = queued.payload
                try:
                    sent = await self._client.send(self.endpoint, payload, doubt=queued.doubt, pauses_until=deadline)
                finally:
                    self._count_repeat(queued)
                self._settled += 1
                parts = self._parts(payload) if sent.status == too_large else ()
                if not parts:
                    self._settle(payload, sent)
            # No await since the answer: there is no moment at which the whole or a part could get lost.
            for part in parts:
                # What was counted for the whole stands for its parts.
                self._enqueue(_Queued(part, copies=queued.doubt.copies, counted=queued.counted))
            results.append(True)
        except Unavailable as trouble:
            self._trouble = str(trouble)
            log.debug("intake_send_put_off", endpoint=self.endpoint.name, reason=self._trouble)
            if trouble.retry_after_s:
                pause_ns = int(min(trouble.retry_after_s, longest_pause_s) * ns_per_s)
                self._leave_alone_until_ns = self._client.wall_clock() + pause_ns
            if not self.endpoint.is_reliable and trouble.attempted:
                self._drop_unreliable()
            results.append(False if trouble.attempted else None)

    def _count_repeat(self, queued: _Queued) -> None:
        """When it goes out again, whatever becomes of it: the intake may have it once more from then on."""
        new = queued.doubt.repeats - queued.counted
        if new > 0:
            queued.counted += new
            self.account.repeat(new * queued.payload.items, new * queued.payload.size)

    def _settle(self, payload: Payload, sent: Sent) -> None:
        if sent.outcome is Outcome.DELIVERED:
            self.account.deliver(payload.items, payload.size)
        else:
            self.account.drop(f"refused_{sent.status}", payload.items, payload.size)

    def _parts(self, payload: Payload) -> Sequence[Payload]:
        """Two or more payloads with the items of this one, or none."""
        if self._split is None or payload.items < 2:
            return ()
        try:
            parts = self._split(payload)
        except Exception as failure:
            # A defect of the signal's must not bring the payload back for ever.
            log.error("payload_split_failed", endpoint=self.endpoint.name, exc_info=failure)
            return ()
        whole = sum(part.items for part in parts) == payload.items and all(part.items for part in parts)
        return parts if whole and len(parts) > 1 else ()

    def _drop_unreliable(self) -> None:
        """Best effort is over: what failed, and what waits behind it, is not kept."""
        with self._queue.lease() as entries:
            for entry in entries:
                self.account.drop("unreliable_endpoint", entry.items, entry.size)

    def _count_failure(self) -> None:
        was_open = self.breaker.is_open
        self.breaker.failed()
        if self.breaker.is_open and not was_open:
            paths = "all" if self._lane is None else ",".join(sorted(self._lane.paths))
            log.warning(
                "intake_unavailable",
                about=f"{self.endpoint.name} {paths}",
                reason=self._trouble,
                queued=len(self._queue),
                consequence="data waits, and the intake is tried again in the background",
            )
