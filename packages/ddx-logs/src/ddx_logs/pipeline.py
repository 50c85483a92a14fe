"""The logs pipeline: telemetry events in, batches for the log intake out.

Events become items in `ingest`, items wait in `store`, and a flush makes payloads of them. Everything up to the store is
synchronous, and so is each step from there to the outbox, so a record rests only in the ingest (until it is complete), in
the store, or in the outbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from ddx_core import log
from ddx_core.clock import WallClock
from ddx_core.events import TelemetryEvent
from ddx_core.intake import Compressor, Fanout
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from .durable import DurableContext
from .entries import Entry
from .ingest import Ingest, OnOutOfMemory
from .settings import LogsSettings
from .store import LogStore

# Drops that nobody intended, each worth a warning.
loss_reasons: Final = ("buffer_full", "waiting_full", "too_large")


class LogsStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`waiting` records have no request id yet, or no ARN; `waiting_for_execution` ones have both but no durable execution.

    `truncated` items were cut, to the intake's limit or where a mask ran out of time (and are delivered so).
    """

    waiting: int
    waiting_for_execution: int
    buffered: int
    buffered_bytes: int
    truncated: int


class LogsPipeline:
    """`observe` takes every telemetry event, in order; `flush` delivers.

    `function_arn` may be empty while the account id is not known: records then wait for `set_function_arn`.
    """

    name = "logs"

    def __init__(
        self,
        settings: LogsSettings,
        *,
        account: Account,
        fanout: Fanout,
        compressor: Compressor,
        tags: TagSet,
        function_arn: str,
        service: str,
        now_ns: WallClock,
        on_out_of_memory: OnOutOfMemory | None = None,
    ) -> None:
        self._is_enabled = settings.enabled
        self._account = account
        self._fanout = fanout
        self._store = LogStore(
            settings, account=account, fanout=fanout, compressor=compressor, on_filling=self._notice_filling
        )
        self._ingest = Ingest(
            settings,
            account=account,
            put=self._store.put,
            tags=tags,
            function_arn=function_arn,
            service=service,
            now_ns=now_ns,
            on_out_of_memory=on_out_of_memory,
        )
        self._losses_told: dict[str, int] = {}
        self._is_filling = trio.Event()
        self._is_ahead = trio.Event()

    @property
    def accounts(self) -> Sequence[Account]:
        return (self._account, *self._fanout.accounts)

    def set_function_arn(self, function_arn: str, tags: TagSet) -> None:
        """The ARN and tags of items from here on, those that wait included."""
        self._ingest.set_function_arn(function_arn, tags)

    def observe(self, event: TelemetryEvent) -> None:
        """Take in one event of the Telemetry API. Events that make no log line pass by."""
        if self._is_enabled:
            self._ingest.observe(event)

    def learn_execution(self, request_id: str, context: DurableContext) -> None:
        """A tracer's `aws.lambda` span has told which durable execution an invocation belongs to."""
        self._ingest.learn_execution(request_id, context)

    def add(self, entry: Entry) -> None:
        """Take in an entry that is complete as it is: rules and tags of the function do not touch it."""
        if self._is_enabled:
            self._ingest.add(entry)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Nothing to receive here: events come through `observe`. Sends ahead of the next flush when lines come in floods."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_ahead)
            task_status.started()
            while True:
                await self._is_filling.wait()
                self._is_filling = trio.Event()
                while not self._store.is_relieved and self._fanout.has_room():
                    self._store.pack()
                    self._is_ahead.set()
                    await trio.lowlevel.checkpoint()

    async def _send_ahead(self) -> None:
        # A task of its own: a send takes many turns of the scheduler, and in each a delivery of a thousand lines may come.
        while True:
            await self._is_ahead.wait()
            self._is_ahead = trio.Event()
            await self._fanout.flush(wait_for_open_breaker=False)

    async def flush(self, kind: FlushKind) -> None:
        """Pack and send what is held. With FINAL nothing waits: what has no request id, or no ARN yet, goes without."""
        is_last = kind is FlushKind.FINAL
        self._tell_losses()
        if is_last:
            self._fanout.lift_limits()
            self._ingest.finish()
        else:
            self._ingest.settle()
        while True:
            is_packed = await self._pack_held(is_last=is_last)
            await self._fanout.flush(wait_for_open_breaker=kind is not FlushKind.BLOCKING, last_chance=is_last)
            if is_packed or not self._fanout.primary.holds_nothing:
                return

    def statistics(self) -> LogsStatistics:
        buffered = self._store.statistics()
        return LogsStatistics(
            waiting=self._ingest.waiting,
            waiting_for_execution=self._ingest.waiting_for_execution,
            buffered=buffered.entries,
            buffered_bytes=buffered.bytes,
            truncated=self._ingest.truncated,
        )

    async def _pack_held(self, *, is_last: bool) -> bool:
        """Make payloads of what is held. False when the rest had better wait until the outbox is emptier."""
        while len(self._store):
            if not self._fanout.has_room():
                return False
            if not is_last and self._fanout.is_unanswered and not self._store.has_full_payload:
                return False
            self._store.pack()
            await trio.lowlevel.checkpoint()
        return True

    def _tell_losses(self) -> None:
        """One warning for each way in which lines were lost or shortened since the last flush, with the count so far."""
        counts = {reason: self._account.dropped(reason).items for reason in loss_reasons}
        counts["truncated"] = self._ingest.truncated
        for reason, items in counts.items():
            if items > self._losses_told.get(reason, 0):
                log.warning("logs_shortened" if reason == "truncated" else "logs_dropped", about=reason, so_far=items)
        self._losses_told = counts

    def _notice_filling(self) -> None:
        self._is_filling.set()
