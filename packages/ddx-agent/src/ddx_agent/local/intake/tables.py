"""The tables of the store: one a type of item, and how an item becomes a row of its table. Pure.

An item is kept as the JSON of its struct, beside columns for what queries ask; both views stay readable with `sqlite3`.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import msgspec

from .items import Event, Log, Metric, Raw, ServiceCheck, Span, StatsGroup

Item = Log | Metric | Span | StatsGroup | Event | ServiceCheck | Raw

format_version: Final = 2
"""Of a file; another one is refused."""

schema: Final = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, kind TEXT, accepted INTEGER, items INTEGER, samples INTEGER, not_kept INTEGER,
    key_id TEXT, fingerprint TEXT, item TEXT);
CREATE TABLE logs (
    id INTEGER PRIMARY KEY, request INTEGER, service TEXT, status TEXT, request_id TEXT, message TEXT,
    fingerprint BLOB, item TEXT);
CREATE TABLE metrics (
    id INTEGER PRIMARY KEY, request INTEGER, name TEXT, type TEXT, tags TEXT, timestamp_s INTEGER, value REAL, item TEXT);
CREATE TABLE spans (
    id INTEGER PRIMARY KEY, request INTEGER, trace_id INTEGER, span_id INTEGER, parent_id INTEGER,
    name TEXT, service TEXT, resource TEXT, item TEXT);
CREATE TABLE stats (
    id INTEGER PRIMARY KEY, request INTEGER, name TEXT, service TEXT, resource TEXT, hits INTEGER, item TEXT);
CREATE TABLE events (id INTEGER PRIMARY KEY, request INTEGER, source TEXT, title TEXT, item TEXT);
CREATE TABLE checks (id INTEGER PRIMARY KEY, request INTEGER, name TEXT, status INTEGER, item TEXT);
CREATE TABLE raw (
    id INTEGER PRIMARY KEY, request INTEGER, kind TEXT, path TEXT, content_type TEXT, body BLOB);
CREATE INDEX logs_by_request_id ON logs (request_id);
CREATE INDEX spans_by_trace ON spans (trace_id, span_id);
CREATE INDEX metrics_by_name ON metrics (name);
"""

table_names: Final = ("requests", "logs", "metrics", "spans", "stats", "events", "checks", "raw")

inserts: Final[dict[type[Item], tuple[str, str]]] = {
    Log: ("logs", "INSERT INTO logs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"),
    Metric: ("metrics", "INSERT INTO metrics VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"),
    Span: ("spans", "INSERT INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"),
    StatsGroup: ("stats", "INSERT INTO stats VALUES (NULL, ?, ?, ?, ?, ?, ?)"),
    Event: ("events", "INSERT INTO events VALUES (NULL, ?, ?, ?, ?)"),
    ServiceCheck: ("checks", "INSERT INTO checks VALUES (NULL, ?, ?, ?, ?)"),
    Raw: ("raw", "INSERT INTO raw VALUES (NULL, ?, ?, ?, ?, ?)"),
}
"""Type of item → its table, and the statement that takes its `row`."""


def row(item: Item) -> tuple[Any, ...]:
    """The values of an item for its `inserts`."""
    match item:
        case Log():
            fingerprint = blake2b(item.raw, digest_size=12).digest()
            return item.request, item.service, item.status, item.request_id, item.message, fingerprint, as_json(item)
        case Metric():
            tags = msgspec.json.encode(item.tags).decode()
            return item.request, item.name, item.type, tags, item.timestamp_s, item.value, as_json(item)
        case Span():
            ids = (signed(item.trace_id), signed(item.span_id), signed(item.parent_id))
            return item.request, *ids, item.name, item.service, item.resource, as_json(item)
        case StatsGroup():
            return item.request, item.name, item.service, item.resource, item.hits, as_json(item)
        case Event():
            return item.request, item.source, item.title, as_json(item)
        case ServiceCheck():
            return item.request, item.name, item.status, as_json(item)
        case Raw():
            return item.request, item.kind, item.path, item.content_type, item.body


def as_json(item: msgspec.Struct) -> str:
    return msgspec.json.encode(item).decode()


def signed(number: int) -> int:
    """SQLite's integers have a sign: the upper half of the unsigned ones becomes negative."""
    return number - (1 << 64) if number >> 63 else number


def has_tag(tags: str, wanted: str) -> bool:
    """The SQL function of that name: whether the column `tags` has a tag, or one with that name (`env:`)."""
    known: Iterable[str] = msgspec.json.decode(tags, type=list[str])
    if wanted.endswith(":"):
        return any(tag.startswith(wanted) for tag in known)
    return wanted in known
