"""The logs pipeline: telemetry events in, batches for the log intake out.

The way of a record: event → record (`from_telemetry`, `message`) → `rules` → its invocation (`request_ids`, `hold`) → its
durable execution (`durable`) → item (`encode`) → buffer; a flush makes payloads of what the buffer holds. Everything up to
the buffer is synchronous, and so is each step from buffer to outbox, so a record rests only in the hold, with the durable
lines, in the buffer, or in the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import trio

from ddx_core import log
from ddx_core.buffer import BoundedBuffer, WhenFull
from ddx_core.clock import WallClock
from ddx_core.events import InitStart, LogLine, LogsDropped, Report, RuntimeDone, Start, TelemetryEvent
from ddx_core.intake import Compressor, Fanout, Payload, decompress
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from . import encode
from .durable import DurableContext, DurableLines, Ready, is_durable_runtime
from .entries import Entry, encode_entry
from .from_telemetry import read_end, read_init_start, read_line, read_report, read_start
from .hold import Hold
from .own_lines import is_shipped, own_level
from .record import LogRecord
from .request_ids import RequestIds
from .rules import Rules
from .settings import LogsSettings
from .signs import tells_out_of_memory

OnOutOfMemory = Callable[[str | None, int], None]
"""Told the request id, when it is known, and the time in Unix ns of a line that says that memory ran out."""

_loss_reasons = ("buffer_full", "waiting_full", "too_large")


class LogsStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`waiting` records have no request id yet, `waiting_for_execution` ones have one but no durable execution.

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
        self._settings = settings
        self._is_managed = settings.managed_instances
        self._account = account
        self._fanout = fanout
        fanout.split_with(self._split)
        self._compressor = compressor
        self._service = service
        self._now_ns = now_ns
        self._on_out_of_memory = on_out_of_memory
        self._request_ids = RequestIds()
        self._hold = Hold(account, max_bytes=settings.max_waiting_bytes, max_items=settings.max_waiting_items)
        self._durable = DurableLines(
            account,
            max_invocations=settings.durable_invocations,
            max_bytes=settings.max_waiting_bytes,
            max_items=settings.max_waiting_items,
            is_managed=settings.managed_instances,
        )
        self._rules = Rules(settings.rules) if settings.rules else None
        self._buffer: BoundedBuffer[bytes] = BoundedBuffer(
            account, max_bytes=settings.max_bytes, when_full=WhenFull.DROP_OLDEST
        )
        self._filling_at = settings.max_bytes // 2
        self._encoder = self._new_encoder(function_arn, tags)
        self._waits_for_arn = not function_arn
        self._truncated_before = 0
        self._cut_entries = 0
        self._losses_told: dict[str, int] = {}
        self._is_filling = trio.Event()
        self._is_ahead = trio.Event()

    @property
    def accounts(self) -> Sequence[Account]:
        return (self._account, *self._fanout.accounts)

    def set_function_arn(self, function_arn: str, tags: TagSet) -> None:
        """The ARN and tags of items from here on, those that wait included."""
        self._truncated_before += self._encoder.truncated
        self._encoder = self._new_encoder(function_arn, tags)
        self._waits_for_arn = not function_arn
        self._place_again()

    def observe(self, event: TelemetryEvent) -> None:
        """Take in one event of the Telemetry API. Events that make no log line pass by."""
        if not self._settings.enabled:
            return
        if type(event) is LogLine:
            self._take_line(event)  # nearly all events are lines
            return
        match event:
            case Start():
                self._take_platform(read_start(event), is_repeat=not self._request_ids.started(event))
            case RuntimeDone():
                self._take_platform(read_end(event), is_repeat=not self._request_ids.ended(event))
            case Report():
                record = read_report(event, runtime_ms=self._request_ids.runtime_ms(event.request_id))
                self._take_platform(record, is_repeat=not self._request_ids.reported(event))
            case InitStart():
                self._put_all(self._durable.learn_kind(is_durable=is_durable_runtime(event.runtime_version)))
                self._take_platform(read_init_start(event), is_repeat=not self._request_ids.init_started(event))
            case LogsDropped():
                # These never came here, so no account has them; the user should know of the gap.
                log.warning("platform_dropped_logs", lines=event.dropped_records, reason=event.reason)
            case _:
                pass

    def learn_execution(self, request_id: str, context: DurableContext) -> None:
        """A tracer's `aws.lambda` span has told which durable execution an invocation belongs to."""
        self._put_all(self._durable.learn(request_id, context))

    def add(self, entry: Entry) -> None:
        """Take in an entry that is complete as it is: rules and tags of the function do not touch it."""
        if not self._settings.enabled:
            return
        item = encode_entry(entry, max_item_bytes=self._settings.max_item_bytes)
        if item.data is None:
            self._account.refuse("too_large", 1, entry.size)
            return
        self._account.accept(1, entry.size)
        self._cut_entries += item.is_cut
        self._put(item.data)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Nothing to receive here: events come through `observe`. Sends ahead of the next flush when lines come in floods."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_ahead)
            task_status.started()
            while True:
                await self._is_filling.wait()
                self._is_filling = trio.Event()
                while self._buffer.waiting_bytes > self._settings.max_bytes // 4 and self._fanout.has_room():
                    self._encode_batch()
                    self._is_ahead.set()
                    await trio.lowlevel.checkpoint()

    async def _send_ahead(self) -> None:
        # A task of its own: a send takes many turns of the scheduler, and in each a delivery of a thousand lines may come.
        while True:
            await self._is_ahead.wait()
            self._is_ahead = trio.Event()
            await self._fanout.flush(wait_for_open_breaker=False)

    async def flush(self, kind: FlushKind) -> None:
        """Encode and send what is held. With FINAL nothing waits: what has no request id, or no ARN yet, goes without."""
        is_last = kind is FlushKind.FINAL
        self._tell_losses()
        if is_last:
            self._fanout.lift_limits()
            self._waits_for_arn = False
        self._place_again(is_settled=True, is_last=is_last)
        if is_last:
            self._put_all(self._durable.take_all())
        while True:
            is_encoded = await self._encode_held(is_last=is_last)
            await self._fanout.flush(wait_for_open_breaker=kind is not FlushKind.BLOCKING, last_chance=is_last)
            if is_encoded or not self._fanout.primary.holds_nothing:
                return

    def statistics(self) -> LogsStatistics:
        buffered = self._buffer.statistics()
        cut_by_rules = self._rules.truncated if self._rules is not None else 0
        return LogsStatistics(
            waiting=len(self._hold),
            waiting_for_execution=len(self._durable),
            buffered=buffered.entries,
            buffered_bytes=buffered.bytes,
            truncated=self._truncated_before + self._encoder.truncated + self._cut_entries + cut_by_rules,
        )

    # --- records on their way to the buffer -----------------------------------------------------------------------

    def _take_line(self, line: LogLine) -> None:
        record = read_line(line, reads_more_levels=self._settings.reads_more_levels)
        if line.from_extension and (level := own_level(record.text)) is not None:
            if is_shipped(level, self._settings.ship_own_lines):
                self._take(record)
            else:
                self._account.refuse("own_line", 1, record.size)
            return
        self._take(record)
        if self._on_out_of_memory is not None and tells_out_of_memory(record.text):
            request_id = record.request_id
            if request_id is None and not self._is_managed:
                request_id = self._request_ids.find_settled(line.time_ns)
            self._on_out_of_memory(request_id, line.time_ns)

    def _take_platform(self, record: LogRecord, *, is_repeat: bool) -> None:
        if self._settings.platform_lines:
            if is_repeat:
                self._account.refuse("repeated_event", 1, record.size)
                return
            self._take(record)
        if len(self._hold):
            self._place_again()

    def _take(self, record: LogRecord) -> None:
        if not record.time_ns:
            record = msgspec.structs.replace(record, time_ns=self._now_ns())
        self._account.accept(1, record.size)
        if self._rules is not None:
            text = self._rules.apply(record.text)
            if text is None:
                self._account.drop("filtered", 1, record.size)
                return
            if text is not record.text:
                record = msgspec.structs.replace(record, text=text)
        self._place(record)

    def _place(self, record: LogRecord, *, is_settled: bool = False, is_last: bool = False) -> None:
        """Put an accepted record into the buffer when it is complete, else into the hold.

        `is_settled`: no START can come first any more. `is_last`: nor anything else.
        """
        request_id = record.request_id
        if request_id is None and not self._is_managed:
            find = self._request_ids.find_settled if is_settled else self._request_ids.find
            request_id = find(record.time_ns)
            if request_id is None and not is_last:
                self._hold.put(record)
                return
        if self._waits_for_arn:
            self._hold.put(record)
            return
        if self._settings.durable_invocations:
            self._put_all(self._durable.sort(record, request_id))
        else:
            self._put(self._encoder.encode(record, request_id))

    def _put_all(self, ready: Ready) -> None:
        for record, request_id in ready:
            self._put(self._encoder.encode(record, request_id))

    def _put(self, item: bytes) -> None:
        # With its comma, so that the sizes of a lease add up to those of the array.
        self._buffer.put(item, size=len(item) + 1)
        if self._buffer.waiting_bytes > self._filling_at and not self._is_filling.is_set():
            self._is_filling.set()

    def _place_again(self, *, is_settled: bool = False, is_last: bool = False) -> None:
        for record in self._hold.take_all():
            self._place(record, is_settled=is_settled, is_last=is_last)

    # --- from the buffer to the outbox ----------------------------------------------------------------------------

    async def _encode_held(self, *, is_last: bool) -> bool:
        """Make payloads of what the buffer holds. False when the rest had better wait until the outbox is emptier."""
        while len(self._buffer):
            if not self._fanout.has_room():
                return False
            if not is_last and self._fanout.is_unanswered and not self._has_full_batch():
                return False
            self._encode_batch()
            await trio.lowlevel.checkpoint()
        return True

    def _encode_batch(self) -> None:
        settings = self._settings
        # The array is the items with a comma each, less one comma, plus the brackets.
        max_bytes = settings.max_batch_bytes - encode.array_framing + 1
        with self._buffer.lease(max_bytes=max_bytes, max_entries=settings.max_batch_items) as entries:
            self._fanout.put(self._payload(encode.array([entry.value for entry in entries]), len(entries)))

    def _payload(self, body: bytes, items: int) -> Payload:
        coded, encoding = self._compressor.compress(body)
        return Payload(
            path=encode.path,
            content_type=encode.content_type,
            body=coded,
            items=items,
            encoding=encoding,
            headers=encode.headers,
        )

    def _split(self, payload: Payload) -> list[Payload]:
        try:
            parts = encode.split_array(decompress(payload.body, payload.encoding))
        except ValueError:
            return []
        return [self._payload(body, items) for body, items in parts]

    def _has_full_batch(self) -> bool:
        held = self._buffer.statistics()
        return held.entries >= self._settings.max_batch_items or held.bytes >= self._settings.max_batch_bytes

    def _tell_losses(self) -> None:
        """One warning for each way in which lines were lost or shortened since the last flush, with the count so far."""
        counts = {reason: self._account.dropped(reason).items for reason in _loss_reasons}
        counts["truncated"] = self.statistics().truncated
        for reason, items in counts.items():
            if items > self._losses_told.get(reason, 0):
                log.warning("logs_shortened" if reason == "truncated" else "logs_dropped", about=reason, so_far=items)
        self._losses_told = counts

    def _new_encoder(self, function_arn: str, tags: TagSet) -> encode.ItemEncoder:
        return encode.ItemEncoder(
            arn=function_arn, service=self._service, tags=tags, max_item_bytes=self._settings.max_item_bytes
        )
