"""Event and ServiceCheck: what happened, and how something is, as clients tell. Pure."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`time_s` is Unix seconds, None where the client states none. `priority` and `alert_type` are the API's words."""

    title: str
    text: str
    time_s: int | None = None
    host: str = ""
    aggregation_key: str = ""
    priority: str = "normal"
    source_type: str = ""
    alert_type: str = "info"
    tags: tuple[str, ...] = ()


class ServiceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is 0 (OK), 1 (warning), 2 (critical) or 3 (unknown)."""

    name: str
    status: int
    time_s: int | None = None
    host: str = ""
    message: str = ""
    tags: tuple[str, ...] = ()
