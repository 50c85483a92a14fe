"""Bodies of events (`/intake/`, `/api/v1/events`) and of service checks (`/api/v1/check_run`).

Field names are those of the public API reference ("Post an event", "Submit a service check") and of the Agent's intake.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..items import Event, ServiceCheck
from .documents import read_json
from .errors import DecodeError

_Seconds = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


def decode_agent_events(body: bytes, *, request: int) -> list[Event]:
    """What agents send to `/intake/`: events by their source."""
    return [
        Event(
            request=request,
            source=event.source_type_name or source,
            title=event.msg_title,
            text=event.msg_text,
            timestamp_s=event.timestamp or None,
            priority=event.priority or "normal",
            alert_type=event.alert_type or "info",
            aggregation_key=event.aggregation_key or None,
            host=event.host or None,
            tags=tuple(event.tags or ()),
        )
        for source, events in read_json(body, _AgentBody).events.items()
        for event in events
    ]


def decode_event(body: bytes, *, request: int) -> list[Event]:
    """The one event of a call of the public API."""
    event = read_json(body, _ApiEvent)
    return [
        Event(
            request=request,
            source=event.source_type_name or "api",
            title=event.title,
            text=event.text,
            timestamp_s=event.date_happened,
            priority=event.priority or "normal",
            alert_type=event.alert_type or "info",
            aggregation_key=event.aggregation_key or None,
            host=event.host or None,
            tags=tuple(event.tags or ()),
        )
    ]


def decode_checks(body: bytes, *, request: int) -> list[ServiceCheck]:
    """A list of checks, or one alone."""
    is_list = body.lstrip()[:1] == b"["
    checks = read_json(body, list[_Check]) if is_list else [read_json(body, _Check)]
    for check in checks:
        if not check.check:
            raise DecodeError("a service check without a name")
    return [
        ServiceCheck(
            request=request,
            name=check.check,
            status=check.status,
            timestamp_s=check.timestamp or None,
            message=check.message or "",
            host=check.host_name or None,
            tags=tuple(check.tags or ()),
        )
        for check in checks
    ]


class _AgentEvent(msgspec.Struct):
    msg_title: str
    msg_text: str
    timestamp: _Seconds = 0
    priority: str | None = None
    host: str | None = None
    tags: list[str] | None = None
    alert_type: str | None = None
    aggregation_key: str | None = None
    source_type_name: str | None = None


class _AgentBody(msgspec.Struct):
    events: dict[str, list[_AgentEvent]] = msgspec.field(default_factory=dict[str, list[_AgentEvent]])
    """Agents send other documents to the same path, without events."""


class _ApiEvent(msgspec.Struct):
    title: str
    text: str = ""
    date_happened: _Seconds | None = None
    priority: str | None = None
    host: str | None = None
    tags: list[str] | None = None
    alert_type: str | None = None
    aggregation_key: str | None = None
    source_type_name: str | None = None


class _Check(msgspec.Struct):
    check: str
    status: Annotated[int, msgspec.Meta(ge=0, le=3)]
    timestamp: _Seconds | None = None
    message: str | None = None
    host_name: str | None = None
    tags: list[str] | None = None
