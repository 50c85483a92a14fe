"""What arrived at the embedded intake, in SQLite: in memory, or in a file that outlives the process.

Rules of this file:
- Everything is synchronous and one transaction a request, so that a request is in the store whole or not at all.
- What was put off (`late`) is done before anything is told: who asks sees all that was answered.
- Totals are counted per request and stay right when items are no longer kept (limits, or spans that are only counted).
- No API key is ever written: see `ReceivedRequest`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from .items import Event, Log, Metric, Raw, ReceivedRequest, Repeat, ServiceCheck, Span, StatsGroup, Totals
from .late_work import LateWork
from .tables import Item, as_json, format_version, has_tag, inserts, row, schema, signed, table_names

T = TypeVar("T", bound=msgspec.Struct)

_mask64: Final = (1 << 64) - 1

signal_kinds: Final = ("logs", "series", "distribution_points", "sketches", "traces", "stats", "events", "check_run")
"""Kinds whose bodies are decoded into items; all others are kept raw."""


class StoreLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Past these, items are counted and no longer kept."""

    rows: int = 200_000
    """Per table."""
    raw_bytes: int = 256 << 20


class StoreError(Exception):
    """The database file cannot be used."""


class Store:
    """One database. All query methods return items in the order of arrival; `limit` gives the latest ones, newest last."""

    def __init__(self, path: str = ":memory:", *, limits: StoreLimits | None = None) -> None:
        self._limits = limits or StoreLimits()
        self.late = LateWork()
        """What ends in `add` and may be done in any thread, never at the same time as the rest. Every question does it first."""
        # Another thread may do what is late.
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise StoreError(f"{path}: {error}") from error
        try:
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise StoreError(f"{path}: {error}") from error
        except StoreError:
            self._db.close()
            raise
        self._rows: dict[str, int] = {table: self._count(table) for table in table_names}
        self._raw_bytes: int = self._one("SELECT COALESCE(SUM(LENGTH(body)), 0) FROM raw")
        self._last_request: int = self._one("SELECT COALESCE(MAX(id), 0) FROM requests")

    def _prepare(self, path: str) -> None:
        self._db.create_function("has_tag", 2, has_tag, deterministic=True)
        if path != ":memory:":
            # A laptop's intake may lose its last requests in a power cut; it may not slow the function down.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        found: int = self._one("PRAGMA user_version")
        if found == 0 and not self._one("SELECT COUNT(*) FROM sqlite_master"):
            self._db.executescript(schema)
            self._db.execute(f"PRAGMA user_version = {format_version}")
        elif found != format_version:
            raise StoreError(f"{path} is no intake database of this version; name another file")

    def close(self) -> None:
        self.late.catch_up()
        self._db.close()

    # Writing

    def new_request_id(self) -> int:
        self._last_request += 1
        return self._last_request

    def add(self, request: ReceivedRequest, items: Sequence[Item] = ()) -> None:
        """Keep one request and, when it was accepted, its items."""
        not_kept = 0
        self._db.execute("BEGIN")
        try:
            if items:
                not_kept = self._add_items(request, items)
            self._db.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    request.id,
                    request.kind,
                    request.accepted,
                    request.items,
                    request.samples,
                    not_kept if items else (request.items if request.accepted else 0),
                    request.key_id,
                    request.fingerprint,
                    as_json(request),
                ),
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _add_items(self, request: ReceivedRequest, items: Sequence[Item]) -> int:
        table, insert = inserts[type(items[0])]
        room = max(self._limits.rows - self._rows[table], 0)
        kept = list(items[:room])
        if table == "raw":
            size = sum(len(item.body) for item in kept if isinstance(item, Raw))
            if self._raw_bytes + size > self._limits.raw_bytes:
                kept = []
            else:
                self._raw_bytes += size
        self._db.executemany(insert, map(row, kept))
        self._rows[table] += len(kept)
        return len(items) - len(kept)

    def clear(self) -> None:
        """Forget everything that arrived. Ids of requests go on, so that nobody takes a new one for an old one."""
        self.late.catch_up()
        self._db.execute("BEGIN")
        for table in table_names:
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the list above
        self._db.execute("COMMIT")
        self._rows = dict.fromkeys(table_names, 0)
        self._raw_bytes = 0

    # Asking

    @property
    def last_request(self) -> int:
        """The id of the newest request; it grows with each."""
        return self._last_request

    def requests(
        self,
        *,
        kind: str | None = None,
        accepted: bool | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[ReceivedRequest]:
        where = _Where()
        where.equal("kind", kind)
        where.equal("accepted", accepted)
        where.add("id > ?", after)
        return self._select("requests", ReceivedRequest, where, limit)

    def logs(
        self,
        *,
        service: str | None = None,
        request_id: str | None = None,
        contains: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> list[Log]:
        """`contains` looks for a part of the message, letter case respected."""
        where = _Where()
        where.equal("service", service)
        where.equal("request_id", request_id)
        where.equal("status", status)
        where.add("instr(message, ?) > 0", contains)
        return self._select("logs", Log, where, limit)

    def metrics(
        self, *, name: str | None = None, tag: str | None = None, type: str | None = None, limit: int | None = None
    ) -> list[Metric]:
        """Points of series and sketches. `tag` is a whole tag (`env:dev`), or its name and a colon (`env:`) for any value."""
        where = _Where()
        where.equal("name", name)
        where.equal("type", type)
        where.add("has_tag(tags, ?)", tag)
        return self._select("metrics", Metric, where, limit)

    def sketches(self, *, name: str | None = None, tag: str | None = None, limit: int | None = None) -> list[Metric]:
        """The metrics that are distributions; each has its `sketch`."""
        return self.metrics(name=name, tag=tag, type="distribution", limit=limit)

    def spans(
        self,
        *,
        name: str | None = None,
        trace_id: int | None = None,
        service: str | None = None,
        resource: str | None = None,
        limit: int | None = None,
    ) -> list[Span]:
        """`trace_id` may have 64 or 128 bits; the lower 64 are compared."""
        where = _Where()
        where.equal("name", name)
        where.equal("service", service)
        where.equal("resource", resource)
        where.equal("trace_id", None if trace_id is None else signed(trace_id & _mask64))
        return self._select("spans", Span, where, limit)

    def stats(
        self,
        *,
        name: str | None = None,
        service: str | None = None,
        resource: str | None = None,
        limit: int | None = None,
    ) -> list[StatsGroup]:
        where = _Where()
        where.equal("name", name)
        where.equal("service", service)
        where.equal("resource", resource)
        return self._select("stats", StatsGroup, where, limit)

    def events(self, *, source: str | None = None, title: str | None = None, limit: int | None = None) -> list[Event]:
        where = _Where()
        where.equal("source", source)
        where.equal("title", title)
        return self._select("events", Event, where, limit)

    def checks(
        self, *, name: str | None = None, status: int | None = None, limit: int | None = None
    ) -> list[ServiceCheck]:
        where = _Where()
        where.equal("name", name)
        where.equal("status", status)
        return self._select("checks", ServiceCheck, where, limit)

    def raw(self, *, kind: str | None = None, path: str | None = None, limit: int | None = None) -> list[Raw]:
        where = _Where()
        where.equal("kind", kind)
        where.equal("path", path)
        columns = "request, kind, path, content_type, body"
        return [
            Raw(request=request, kind=kind, path=path, content_type=content_type, body=body)
            for request, kind, path, content_type, body in self._rows_of("raw", columns, where, limit)
        ]

    def totals(self) -> Totals:
        """What was accepted since the start, or since `clear`."""
        self.late.catch_up()
        query = "SELECT kind, accepted, COUNT(*), SUM(items), SUM(samples), SUM(not_kept) FROM requests GROUP BY kind, accepted"
        requests = refused = not_kept = 0
        items: dict[str, int] = {}
        samples: dict[str, int] = {}
        raw: dict[str, int] = {}
        for kind, accepted, count, item_sum, sample_sum, not_kept_sum in self._db.execute(query):
            requests += count
            if not accepted:
                refused += count
                continue
            not_kept += not_kept_sum
            if kind in signal_kinds:
                items[kind] = item_sum
                samples[kind] = sample_sum
            elif kind != "validate":
                raw[kind] = count
        return Totals(
            requests=requests,
            refused=refused,
            logs=items.get("logs", 0),
            series_points=items.get("series", 0),
            sketches=items.get("sketches", 0) + items.get("distribution_points", 0),
            sketch_samples=samples.get("sketches", 0) + samples.get("distribution_points", 0),
            spans=items.get("traces", 0),
            stats_groups=items.get("stats", 0),
            stats_hits=samples.get("stats", 0),
            events=items.get("events", 0),
            service_checks=items.get("check_run", 0),
            raw=raw,
            not_kept=not_kept,
        )

    def repeats(self) -> list[Repeat]:
        """What was accepted more than once for one API key: whole payloads, log entries and spans.

        Log entries count as the same when all their bytes are, and only across requests: a function may well write the
        same line twice within a millisecond. Spans are the same by span id and lower trace id, as only some spans of a
        trace tell the upper half. Dual shipping with two keys to one intake is no repeat.
        """
        self.late.catch_up()
        payloads = """
            SELECT COUNT(*), GROUP_CONCAT(id), kind || ', ' || items || ' items' FROM requests
            WHERE accepted AND items > 0 GROUP BY key_id, kind, fingerprint HAVING COUNT(*) > 1"""
        logs = """
            SELECT COUNT(*), GROUP_CONCAT(DISTINCT request), SUBSTR(message, 1, 200) FROM logs
            JOIN requests ON requests.id = logs.request
            GROUP BY key_id, logs.fingerprint HAVING COUNT(DISTINCT request) > 1"""
        spans = """
            SELECT COUNT(*), GROUP_CONCAT(DISTINCT request), name || printf(' %016x %016x', trace_id, span_id) FROM spans
            JOIN requests ON requests.id = spans.request
            GROUP BY key_id, trace_id, span_id HAVING COUNT(*) > 1"""
        return [
            Repeat(what=what, times=times, requests=tuple(sorted(map(int, str(requests).split(",")))), example=example)
            for what, query in (("payload", payloads), ("log", logs), ("span", spans))
            for times, requests, example in self._db.execute(query)
        ]

    def _select(self, table: str, type: type[T], where: _Where, limit: int | None) -> list[T]:
        decode = msgspec.json.Decoder(type).decode
        return [decode(item) for (item,) in self._rows_of(table, "item", where, limit)]

    def _rows_of(self, table: str, columns: str, where: _Where, limit: int | None) -> list[Any]:
        self.late.catch_up()
        query = f"SELECT {columns} FROM {table}{where.text()} ORDER BY id"  # noqa: S608 - names from this file only
        if limit is None:
            return self._db.execute(query, where.values).fetchall()
        return self._db.execute(f"{query} DESC LIMIT ?", (*where.values, limit)).fetchall()[::-1]

    def _count(self, table: str) -> int:
        return self._one(f"SELECT COUNT(*) FROM {table}")  # noqa: S608 - names from the list above

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]


class _Where:
    """Conditions of a query; a value of None sets none."""

    def __init__(self) -> None:
        self.values: list[str | int] = []
        self._conditions: list[str] = []

    def equal(self, column: str, value: str | int | None) -> None:
        self.add(f"{column} = ?", value)

    def add(self, condition: str, value: str | int | None) -> None:
        if value is not None:
            self._conditions.append(condition)
            self.values.append(value)

    def text(self) -> str:
        return " WHERE " + " AND ".join(self._conditions) if self._conditions else ""
