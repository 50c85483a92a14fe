"""EventOutbox: lines of events and service checks → payloads. Pure.

Rules of this file:
- Whatever is taken waits in a buffer bounded in bytes, the oldest going first, until it is encoded; both count as one item each.
- A payload holds at most a few hundred of them, far below what the intake takes.

Bodies as the Agent sends them: events by their source to `/intake/`, service checks as a list to `/api/v1/check_run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from ddx_core.buffer import BoundedBuffer, Entry
from ddx_core.intake import Compressor, Payload
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from ..context import encodable
from ..settings import Cardinality
from .event import Event, ServiceCheck
from .parse import parse_event, parse_service_check

events_path: Final = "/intake/"
checks_path: Final = "/api/v1/check_run"
max_entries: Final = 200
max_bytes: Final = 500_000

# What one of them takes besides its text.
_bytes_alone: Final = 400
_source: Final = "api"
"""The Agent's word for events whose client names no source."""

_json = msgspec.json.Encoder()


class _Event(msgspec.Struct, frozen=True, omit_defaults=True):
    msg_title: str
    msg_text: str
    timestamp: int
    priority: str
    host: str
    alert_type: str
    tags: Sequence[str]
    aggregation_key: str = ""
    source_type_name: str = ""


class _Check(msgspec.Struct, frozen=True):
    check: str
    host_name: str
    timestamp: int
    status: int
    message: str
    tags: Sequence[str]


class EventOutbox:
    """`tags` are added to everything when it is encoded. What is taken counts on `account`; payloads go to `put`."""

    def __init__(
        self,
        account: Account,
        *,
        tags: TagSet,
        compressor: Compressor,
        put: Callable[[Payload], None],
        max_bytes: int,
        sender_cardinality: Cardinality | None = None,
    ) -> None:
        self._account = account
        self._compressor = compressor
        self._put = put
        self._sender_cardinality = sender_cardinality
        self._events: BoundedBuffer[Event] = BoundedBuffer(account, max_bytes=max_bytes, full_reason="events_full")
        self._checks: BoundedBuffer[ServiceCheck] = BoundedBuffer(
            account, max_bytes=max_bytes, full_reason="service_checks_full"
        )
        self.set_tags(tags)

    def set_tags(self, tags: TagSet) -> None:
        """The base tags from here on."""
        self._base = tuple(map(encodable, tags.rendered))

    def take_event(self, line: bytes, now_s: int) -> bool:
        """Take a line that begins with `_e{` and came at `now_s` (Unix seconds). False: malformed, and not counted here."""
        event = parse_event(line, self._sender_cardinality)
        if event is None:
            return False
        if event.time_s is None:
            event = msgspec.structs.replace(event, time_s=now_s)
        self._account.accept(1, len(line))
        self._events.put(event, size=len(line) + _bytes_alone)
        return True

    def take_check(self, line: bytes, now_s: int) -> bool:
        """The same for a line that begins with `_sc|`."""
        check = parse_service_check(line, self._sender_cardinality)
        if check is None:
            return False
        if check.time_s is None:
            check = msgspec.structs.replace(check, time_s=now_s)
        self._account.accept(1, len(line))
        self._checks.put(check, size=len(line) + _bytes_alone)
        return True

    def encode_some(self) -> bool:
        """Turn a few milliseconds' worth of what waits into a payload. True: there is more."""
        if len(self._events):
            with self._events.lease(max_bytes=max_bytes, max_entries=max_entries) as events:
                self._put_payload(events_path, self._events_body(events), len(events))
        elif len(self._checks):
            with self._checks.lease(max_bytes=max_bytes, max_entries=max_entries) as checks:
                self._put_payload(checks_path, self._checks_body(checks), len(checks))
        return bool(len(self._events) or len(self._checks))

    def _put_payload(self, path: str, body: bytes, items: int) -> None:
        packed, encoding = self._compressor.compress(body)
        self._put(Payload(path=path, content_type="application/json", body=packed, items=items, encoding=encoding))

    def _events_body(self, entries: Sequence[Entry[Event]]) -> bytes:
        return join_events(
            [
                (
                    event.source_type or _source,
                    _Event(
                        msg_title=event.title,
                        msg_text=event.text,
                        timestamp=event.time_s or 0,
                        priority=event.priority,
                        host=event.host,
                        alert_type=event.alert_type,
                        tags=self._tags(event.tags),
                        aggregation_key=event.aggregation_key,
                        source_type_name=event.source_type,
                    ),
                )
                for event in (entry.value for entry in entries)
            ]
        )

    def _checks_body(self, entries: Sequence[Entry[ServiceCheck]]) -> bytes:
        return _json.encode(
            [
                _Check(
                    check=check.name,
                    host_name=check.host,
                    timestamp=check.time_s or 0,
                    status=check.status,
                    message=check.message,
                    tags=self._tags(check.tags),
                )
                for check in (entry.value for entry in entries)
            ]
        )

    def _tags(self, own: Sequence[str]) -> list[str]:
        return sorted({*self._base, *own})


def join_events(events: Iterable[tuple[str, object]]) -> bytes:
    """The body of events that are given with their sources, in JSON already or as what becomes it."""
    by_source: dict[str, list[object]] = {}
    for source, event in events:
        by_source.setdefault(source, []).append(event)
    return _json.encode({"apiKey": "", "events": by_source, "internalHostname": ""})
