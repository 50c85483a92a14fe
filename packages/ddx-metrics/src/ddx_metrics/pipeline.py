"""MetricsPipeline: DogStatsD and other sources → aggregator → series and sketches → intake.

Rules of this file:
- A sample is in the socket, in the aggregator, in the encoder, in a queue of the fanout, or settled: each step from one
  to the next is synchronous, so a cancelled flush leaves every sample in one of them and the next flush goes on from there.
- Encoding goes on in slices of about a millisecond, with the receivers let in between.
- What waits for delivery waits compressed: metrics are always encoded, whatever room the queues have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from math import isfinite
from time import perf_counter
from typing import Final, Protocol

import trio

from ddx_core.clock import WallClock, ns_per_s
from ddx_core.intake import Compressor, Fanout, Lane, Payload
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from .aggregator import Aggregator
from .context import TooManyTags, context_of
from .dogstatsd import Ingest
from .dogstatsd.ingest import Admit
from .dogstatsd.server import DatagramReceiver, HasFileno
from .encode import Encoder
from .events import EventOutbox, checks_path, events_path
from .payload import series_path, sketches_path
from .sample import MetricType, Sample
from .settings import MetricsSettings

lanes: Final = (
    Lane(frozenset([series_path]), 0.375),
    Lane(frozenset([sketches_path]), 0.375),
    Lane(frozenset([events_path]), 0.125),
    Lane(frozenset([checks_path]), 0.125),
)
"""For `open_fanout`: each API of the metrics intake has its own troubles."""

_slice_s: Final = 0.001


class Receiver(Protocol):
    """Hands what arrives to the pipeline."""

    async def serve(self) -> None: ...

    def drain(self) -> None:
        """Take in what has arrived already. Synchronous."""
        ...


class Mark(Protocol):
    """Keeps a point in time (Unix seconds, 0 for none) for the process that comes after this one."""

    def read(self) -> int: ...

    def write(self, time_s: int) -> None: ...


class MetricsPipeline:
    """The metrics signal. `sockets` are bound datagram sockets, none if there is to be no DogStatsD; their owner closes them.

    `told_until`, if given, keeps the last second of which points were told: those of a process in this one's place do not
    overwrite them then.
    """

    name = "metrics"

    def __init__(
        self,
        settings: MetricsSettings,
        *,
        account: Account,
        fanout: Fanout,
        compressor: Compressor,
        tags: TagSet,
        now_ns: WallClock,
        sockets: Sequence[HasFileno] = (),
        told_until: Mark | None = None,
    ) -> None:
        self._account = account
        self._told_until = told_until
        self._fanout = fanout
        fanout.split_with(partial(_split, compressor=compressor))
        self._now_ns = now_ns
        self._aggregator = Aggregator(
            account,
            max_contexts=settings.max_contexts,
            max_bytes=settings.max_bytes,
            max_tag_sets=settings.max_tag_sets,
            copies_to=settings.copies_to,
            told_until_s=told_until.read() if told_until is not None else 0,
        )
        self._marked_s = self._aggregator.told_until_s
        self._events = EventOutbox(
            account,
            tags=tags,
            compressor=compressor,
            put=fanout.put,
            max_bytes=settings.events_bytes,
            sender_cardinality=settings.lines.sender_cardinality,
        )
        self._ingest = Ingest(
            self._aggregator,
            account,
            settings.lines,
            take_event=self._events.take_event,
            take_check=self._events.take_check,
            # Clients may spell one context in more than one way (order of tags, container ids).
            max_known=2 * settings.max_contexts,
        )
        self._encoder = Encoder(settings, tags, compressor, fanout.put, account)
        self._receivers: list[Receiver] = [
            DatagramReceiver(each, self.take_datagrams, settings=settings.receiver, count_cut=self.count_cut)
            for each in sockets
        ]
        self._crowded = trio.Event()

    @property
    def accounts(self) -> Sequence[Account]:
        return (self._account, *self._fanout.accounts)

    def set_tags(self, tags: TagSet) -> None:
        """Base tags of everything that is encoded from here on."""
        self._encoder.set_tags(tags)
        self._events.set_tags(tags)

    def ask_before(self, name: str, admit: Admit) -> None:
        """Take DogStatsD lines of this metric only if `admit`, called for each, says so; others count as filtered."""
        self._ingest.ask_before(name, admit)

    def add(self, samples: Iterable[Sample]) -> None:
        """Take samples in. Synchronous; what cannot be taken is counted with its reason."""
        account, aggregator = self._account, self._aggregator
        aggregator.advance(self._now_s())
        for sample in samples:
            value = sample.value
            if isinstance(value, str) is not (sample.type is MetricType.SET) or not sample.name:
                account.refuse("malformed", 1, 0)
                continue
            if not isinstance(value, str) and not isfinite(value):
                account.refuse("not_finite", 1, 0)
                continue
            try:
                context = context_of(sample)
            except TooManyTags:
                account.refuse("too_many_tags", 1, 0)
                continue
            time_s = sample.time_s if sample.time_s is not None and sample.time_s > 0 else None
            account.accept(1, context.line_size)
            aggregator.add(context, (value,), sample.rate, time_s)
        self._notice_crowd()

    def take_datagrams(self, datagrams: Sequence[bytes]) -> None:
        """Take in DogStatsD datagrams, from whatever received them."""
        self._ingest.take(datagrams, self._now_s())
        self._notice_crowd()

    def count_cut(self, reason: str, size: int) -> None:
        """A receiver left out a line of which `size` bytes had come without its end."""
        self._account.refuse(reason, 1, size)

    def add_receiver(self, receiver: Receiver) -> None:
        """Another way in, before `serve`: it hands what it receives to `take_datagrams`."""
        self._receivers.append(receiver)

    def drain(self) -> None:
        """Take in what lies in the sockets. Synchronous."""
        for receiver in self._receivers:
            receiver.drain()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            for receiver in self._receivers:
                nursery.start_soon(receiver.serve)
            nursery.start_soon(self._relieve_crowds)
            task_status.started()

    async def flush(self, kind: FlushKind) -> None:
        """Encode and send. The bucket that is still open is left out of background flushes: it will be sent whole."""
        self.drain()
        self._aggregator.advance(self._now_s())
        if kind is FlushKind.FINAL:
            # Nobody is received from any more, and the deadline may be near: into the queues with all of it first.
            self._fanout.lift_limits()
            self._aggregator.cut(include_open=True)
            self._mark_told()
            self._encode_for(None)
            while self._events.encode_some():
                pass
        else:
            for _ in self._aggregator.fold_in_slices():
                await trio.lowlevel.checkpoint()
            self._aggregator.cut_folded(include_open=kind is FlushKind.BLOCKING)
            self._mark_told()
            await self._encode(kind)
            while self._events.encode_some():
                await trio.lowlevel.checkpoint()
        await self._fanout.flush(
            wait_for_open_breaker=kind is not FlushKind.BLOCKING, last_chance=kind is FlushKind.FINAL
        )

    async def _encode(self, kind: FlushKind | None = None) -> None:
        """With a `kind`, queues that fill up are emptied on the way, once if that does not help."""
        may_help = kind is not None
        while self._encode_for(_slice_s):
            if may_help and not self._fanout.has_room() and not self._fanout.is_in_trouble:
                await self._fanout.flush(wait_for_open_breaker=kind is not FlushKind.BLOCKING)
                may_help = self._fanout.has_room()
            await trio.lowlevel.checkpoint()

    def _encode_for(self, seconds: float | None) -> bool:
        """Encode what was cut, for that long; True: there is more. At the end everything is in the fanout's queues."""
        take, add = self._aggregator.take, self._encoder.add
        until = None if seconds is None else perf_counter() + seconds
        while (gathered := take()) is not None:
            add(gathered)
            if until is not None and perf_counter() >= until:
                return True
        self._encoder.close()
        return False

    def _mark_told(self) -> None:
        told_s = self._aggregator.told_until_s
        if self._told_until is not None and told_s != self._marked_s:
            self._told_until.write(told_s)
            self._marked_s = told_s

    def _notice_crowd(self) -> None:
        if self._aggregator.wants_cut:
            self._crowded.set()

    async def _relieve_crowds(self) -> None:
        """Between flushes, encode closed buckets when they take up the room that new contexts need."""
        while True:
            await self._crowded.wait()
            self._crowded = trio.Event()
            self._aggregator.cut_folded(include_open=False)
            await self._encode()

    def _now_s(self) -> int:
        return self._now_ns() // ns_per_s


def _split(payload: Payload, compressor: Compressor) -> list[Payload]:
    # Here and not above: it is rarely needed, and a millisecond of every cold start.
    from .split import split_payload

    return split_payload(payload, compressor)
