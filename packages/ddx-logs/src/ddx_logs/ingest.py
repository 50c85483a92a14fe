"""Ingest: telemetry events → encoded items; each record goes on, waits until it is complete, or is counted by its reason. Pure.

The way of a record: event → record (`from_telemetry`, `message`) → `rules` → its invocation (`request_ids`, `hold`) → its
durable execution (`durable`) → item (`encode`).

Rule of this file: every method is synchronous, so a record rests only in the hold or with the durable lines.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ddx_core import log
from ddx_core.clock import WallClock
from ddx_core.events import InitStart, LogLine, LogsDropped, Report, RuntimeDone, Start, TelemetryEvent
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from .durable import DurableContext, DurableLines, Ready, is_durable_runtime
from .encode import ItemEncoder
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


class Ingest:
    """`put` gets every item that is complete. `function_arn` may be empty: records then wait for `set_function_arn`."""

    def __init__(
        self,
        settings: LogsSettings,
        *,
        account: Account,
        put: Callable[[bytes], None],
        tags: TagSet,
        function_arn: str,
        service: str,
        now_ns: WallClock,
        on_out_of_memory: OnOutOfMemory | None = None,
    ) -> None:
        self._settings = settings
        self._is_managed = settings.managed_instances
        self._account = account
        self._put = put
        self._now_ns = now_ns
        self._on_out_of_memory = on_out_of_memory
        self._find_level = None
        if settings.reads_more_levels:
            # Here and not above: it is off by default, and half a millisecond of every cold start.
            from .levels import find_level

            self._find_level = find_level
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
        self._encoder = ItemEncoder(
            arn=function_arn, service=service, tags=tags, max_item_bytes=settings.max_item_bytes
        )
        self._waits_for_arn = not function_arn
        self._cut_entries = 0

    @property
    def waiting(self) -> int:
        """Records that have no request id yet, or no ARN."""
        return len(self._hold)

    @property
    def waiting_for_execution(self) -> int:
        """Records that have both, but no durable execution yet."""
        return len(self._durable)

    @property
    def truncated(self) -> int:
        """Items that were cut so far."""
        cut_by_rules = self._rules.truncated if self._rules is not None else 0
        return self._encoder.truncated + self._cut_entries + cut_by_rules

    def set_function_arn(self, function_arn: str, tags: TagSet) -> None:
        """The ARN and tags of items from here on, those that wait included."""
        self._encoder.set_function(function_arn, tags)
        self._waits_for_arn = not function_arn
        self._place_again()

    def observe(self, event: TelemetryEvent) -> None:
        """Take in one event of the Telemetry API. Events that make no log line pass by."""
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
        """Let go what waits for the durable execution of this invocation."""
        self._put_all(self._durable.learn(request_id, context))

    def add(self, entry: Entry) -> None:
        """Take in an entry that is complete as it is."""
        item = encode_entry(entry, max_item_bytes=self._settings.max_item_bytes)
        if item.data is None:
            self._account.refuse("too_large", 1, entry.size)
            return
        self._account.accept(1, entry.size)
        self._cut_entries += item.is_cut
        self._put(item.data)

    def settle(self) -> None:
        """No START can come before the lines that wait any more: place them."""
        self._place_again(is_settled=True)

    def finish(self) -> None:
        """Nothing comes any more: what waits goes without what it waits for."""
        self._waits_for_arn = False
        self._place_again(is_settled=True, is_last=True)
        self._put_all(self._durable.take_all())

    def _take_line(self, line: LogLine) -> None:
        record = read_line(line, find_level=self._find_level)
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
        """Make an item of an accepted record when it is complete, else put it into the hold.

        `is_settled`: no START can come first any more. `is_last`: nor anything else.
        """
        request_id = record.request_id
        if request_id is None and not self._is_managed:
            runs = self._request_ids
            request_id = runs.find_settled(record.time_ns) if is_settled else runs.find(record.time_ns)
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

    def _place_again(self, *, is_settled: bool = False, is_last: bool = False) -> None:
        for record in self._hold.take_all():
            self._place(record, is_settled=is_settled, is_last=is_last)

    def _put_all(self, ready: Ready) -> None:
        for record, request_id in ready:
            self._put(self._encoder.encode(record, request_id))
