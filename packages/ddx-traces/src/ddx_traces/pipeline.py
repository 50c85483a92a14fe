"""The traces pipeline: the trace agent's server, the stores of spans and of statistics, and their outboxes.

The way of a span: request → decoded (`agent`) → processed, encoded, held (`store`); a flush makes payloads of what is held.
From a request's body to the buffer everything is synchronous, and so is the step from buffer to outbox, so a span rests only
in a socket, in the buffer, or in the outbox. A payload's worth of spans does not wait for a flush: it is packed and sent
while more arrive, or a busy function would fill the buffer before its invocation ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import trio

from ddx_core import log
from ddx_core.clock import WallClock
from ddx_core.http import Activity, Limits, serve_http
from ddx_core.intake import Compressor, Fanout
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from .agent.routes import TraceRoutes
from .observer import ChunkObserver
from .parts import ReadSpans, TracePart
from .proxy import ProxiedIntakes
from .settings import TracesSettings
from .span import Span, TracerPayload
from .stats import StatsStore
from .store import TraceStore

__all__ = ["TracesPipeline", "TracesSettings"]

# A tracer sends its last spans just before the function's response, so they are here when a flush begins or nearly so.
half_received_s: Final = 0.05
# At the end a request that was received is taken still, also one of the size that is allowed at most; its tracer is gone.
last_requests_s: Final = 1.0
# Drops that nobody intended, each worth a warning.
loss_reasons: Final = ("buffer_full", "failed", "malformed", "queue_full", "shutdown", "too_large")
# Accepting a connection, starting its task, and reading its first bytes take a turn each.
turns_to_first_byte: Final = 6


class TracesPipeline:
    """`serve` receives, `flush` delivers, `add_chunks` takes spans that come another way.

    `listeners` are bound already and become the pipeline's; there may be none.
    """

    name = "traces"

    def __init__(
        self,
        settings: TracesSettings,
        *,
        account: Account,
        stats_account: Account,
        fanout: Fanout,
        stats_fanout: Fanout,
        compressor: Compressor,
        tags: TagSet,
        now_ns: WallClock,
        listeners: Sequence[trio.SocketListener] = (),
        observers: Sequence[ChunkObserver] = (),
        proxied: ProxiedIntakes | None = None,
    ) -> None:
        self._account = account
        self._proxied = proxied
        self._stats_account = stats_account
        self._fanout = fanout
        self._stats_fanout = stats_fanout
        self._listeners = listeners
        self._limits = Limits(max_connections=settings.max_connections, grace_s=last_requests_s)
        self._activity = Activity()
        self._stats = StatsStore(
            settings,
            account=stats_account,
            fanout=stats_fanout,
            now_ns=now_ns,
            obfuscate=self._hide_resource,
            on_filling=self._notice_full_payload,
        )
        self._store = TraceStore(
            settings,
            account=account,
            fanout=fanout,
            compressor=compressor,
            tags=tags,
            now_ns=now_ns,
            observers=observers,
            count=self._stats.count if settings.computes_stats else None,
            on_full_payload=self._notice_full_payload,
        )
        self._routes = TraceRoutes(
            settings,
            self._store,
            self._stats,
            trio.lowlevel.checkpoint,
            more=() if proxied is None else proxied.routes(),
        ).routes()
        self._has_full_payload = trio.Event()
        self._losses_told = dict.fromkeys(loss_reasons, 0)

    @property
    def accounts(self) -> Sequence[Account]:
        own = (self._account, *self._fanout.accounts, self._stats_account, *self._stats_fanout.accounts)
        return own if self._proxied is None else (*own, *self._proxied.accounts)

    def set_tags(self, tags: TagSet) -> None:
        """The tags of all spans that come from here on, and of the payloads made from here on."""
        self._store.set_tags(tags)
        if self._proxied is not None:
            self._proxied.set_tags(tags)

    def has_room(self) -> bool:
        """Whether a source that can wait may hand over more: a receiver asks before it takes a request."""
        return self._store.make_room()

    def add_chunks(self, chunks: Iterable[list[Span]], payload: TracerPayload, *, size: int = 0) -> None:
        """Take in spans that did not come through the trace agent: each list is of one trace and not the caller's any more.

        `size` is the number of bytes in which all of them came.
        """
        self._store.take_dropped_p0(payload)
        listed = list(chunks)
        for chunk in listed:
            self._store.add(TracePart(ReadSpans(chunk), size // len(listed)), payload)

    def _hide_resource(self, kind: str, resource: str) -> str:
        # The store is made after the statistics' own, which need this.
        return self._store.hide_resource(kind, resource)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            if self._listeners:
                served = partial(
                    serve_http, self._listeners, self._routes, limits=self._limits, activity=self._activity
                )
                await nursery.start(served)
            task_status.started()
            await self._send_full_payloads()

    async def flush(self, kind: FlushKind) -> None:
        """Take in what is arriving, then pack and send everything. With FINAL nothing stays unpacked."""
        await self._take_in_arriving()
        self._tell_losses()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._flush_own, kind)
            if self._proxied is not None:
                nursery.start_soon(self._proxied.flush, kind)

    async def _flush_own(self, kind: FlushKind) -> None:
        is_last = kind is FlushKind.FINAL
        if is_last:
            self._fanout.lift_limits()
            self._stats_fanout.lift_limits()
        # What comes while this runs is the next flush's: a busy tracer must not keep this one from ending.
        left = len(self._store)
        await self._pack_stats(len(self._stats), is_last=is_last)
        await self._pack_counted(kind)
        while True:
            left = await self._pack_held(left, is_last=is_last)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, self._fanout, kind)
                nursery.start_soon(_send, self._stats_fanout, kind)
            if left <= 0 or not self._fanout.primary.holds_nothing:
                return

    async def _take_in_arriving(self) -> None:
        """Let the server read what lies in its sockets, and give requests that are half here a moment to arrive."""
        if not self._listeners:
            return
        for _ in range(turns_to_first_byte):
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(half_received_s):
            await self._activity.wait_idle()

    async def _pack_held(self, chunks: int, *, is_last: bool) -> int:
        """Pack the first `chunks` that are held. Returns how many of them had better wait until the outbox is emptier."""
        while chunks > 0 and len(self._store):
            if not is_last:
                if not self._fanout.has_room():
                    return chunks
                if self._fanout.is_unanswered and not self._store.has_full_payload:
                    return chunks
            chunks -= self._store.pack()
            await trio.lowlevel.checkpoint()
        return 0

    async def _pack_stats(self, requests: int, *, is_last: bool) -> None:
        """The same for what tracers have sent in their first `requests` requests."""
        while requests > 0 and len(self._stats) and (is_last or self._stats_fanout.has_room()):
            requests -= self._stats.pack()
            await trio.lowlevel.checkpoint()

    async def _pack_counted(self, kind: FlushKind) -> None:
        """The same for the spans that were counted here; open buckets rest when another flush is sure to come."""
        is_last = kind is FlushKind.FINAL
        left = self._stats.counted_groups
        while left > 0:
            if not is_last and (not self._stats_fanout.has_room() or self._stats_fanout.is_unanswered):
                return
            packed = self._stats.pack_counted(everything=kind is not FlushKind.BACKGROUND)
            if not packed:
                return
            left -= packed
            await trio.lowlevel.checkpoint()

    async def _send_full_payloads(self) -> None:
        while True:
            await self._has_full_payload.wait()
            self._has_full_payload = trio.Event()
            is_packed = True
            while is_packed:
                is_packed = False
                while self._store.has_full_payload and self._fanout.has_room():
                    self._store.pack()
                    is_packed = True
                    await trio.lowlevel.checkpoint()
                while self._stats.is_filling and self._stats_fanout.has_room():
                    self._stats.pack_counted(everything=True)
                    is_packed = True
                    await trio.lowlevel.checkpoint()
                async with trio.open_nursery() as nursery:
                    for fanout in (self._fanout, self._stats_fanout):
                        nursery.start_soon(partial(fanout.flush, wait_for_open_breaker=False))

    def _tell_losses(self) -> None:
        for reason in loss_reasons:
            items = self._account.dropped(reason).items
            if items > self._losses_told[reason]:
                log.warning("spans_dropped", about=reason, spans=items - self._losses_told[reason])
                self._losses_told[reason] = items

    def _notice_full_payload(self) -> None:
        self._has_full_payload.set()


async def _send(fanout: Fanout, kind: FlushKind) -> None:
    await fanout.flush(
        wait_for_open_breaker=kind is not FlushKind.BLOCKING,
        last_chance=kind is FlushKind.FINAL,
    )
