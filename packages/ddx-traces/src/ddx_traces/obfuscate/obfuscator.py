"""Which grammar a span is for, by its type. Pure.

A type without one costs one look into a table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from ..span import Span
from .cache import Remembered
from .settings import JsonBodies, ObfuscationSettings

if TYPE_CHECKING:
    from .credit_cards import CardObfuscator
    from .json_body import JsonObfuscator

sql_types: Final = ("sql", "cassandra")
redis_types: Final = ("redis", "valkey")
# Other databases speak the common dialect.
_dialects: Final = frozenset(("mssql", "postgresql"))

# Queries repeat by the thousand; of the other texts fewer do.
remembered_sql_bytes: Final = 1 << 20
remembered_bytes: Final = 256 << 10


class Obfuscator:
    """`apply` changes spans in place. Results are remembered, within bounds."""

    def __init__(self, settings: ObfuscationSettings | None = None) -> None:
        settings = settings or ObfuscationSettings()
        self._settings = settings
        self._queries: dict[str, Remembered] = {}
        self._remembered: dict[str, Remembered] = {}
        self._cards: CardObfuscator | None = None
        if settings.cards:
            from .credit_cards import CardObfuscator

            self._cards = CardObfuscator(luhn=settings.cards_luhn, keep=settings.cards_keep)
        self._by_type: dict[str, Callable[[Span], None]] = {
            "http": self._hide_in_url,
            "web": self._hide_in_url,
            "sql": self._hide_in_sql,
            "cassandra": self._hide_in_sql,
        }
        for kind, hides, removes in (
            ("redis", settings.redis, settings.redis_removes_arguments),
            ("valkey", settings.valkey, settings.valkey_removes_arguments),
        ):
            self._by_type[kind] = self._redis(f"{kind}.raw_command" if hides else None, removes_arguments=removes)
        if settings.memcached:
            self._by_type["memcached"] = self._hide_in_memcached
        for kind, tag, bodies in (
            ("mongodb", "mongodb.query", settings.mongodb),
            ("elasticsearch", "elasticsearch.body", settings.elasticsearch),
            ("opensearch", "opensearch.body", settings.opensearch),
        ):
            if bodies.enabled:
                self._by_type[kind] = self._json(tag, bodies)

    def apply(self, span: Span) -> None:
        if self._cards is not None:
            self._cards.apply(span)
        hide = self._by_type.get(span.type)
        if hide is not None:
            hide(span)

    def obfuscate_resource(self, kind: str, resource: str) -> str:
        """The resource of spans of type `kind`, of which only statistics are known."""
        if kind in sql_types:
            return self._sql("")[resource]
        if kind in redis_types:
            return self._quantized()[resource]
        return resource

    # --- one for each kind of span ------------------------------------------------------------------------------------

    def _hide_in_sql(self, span: Span) -> None:
        if span.resource:
            span.resource = span.meta["sql.query"] = self._sql(span.meta.get("db.type", ""))[span.resource]

    def _hide_in_url(self, span: Span) -> None:
        url = span.meta.get("http.url")
        if url:
            span.meta["http.url"] = self._urls()[url]

    def _hide_in_memcached(self, span: Span) -> None:
        command = span.meta.get("memcached.command")
        if command:
            from .memcached import obfuscate_memcached

            keeps = self._settings.memcached_keeps_command
            span.meta["memcached.command"] = obfuscate_memcached(command) if keeps else ""

    def _redis(self, tag: str | None, *, removes_arguments: bool) -> Callable[[Span], None]:
        def hide(span: Span) -> None:
            span.resource = self._quantized()[span.resource]
            command = None if tag is None else span.meta.get(tag)
            if tag is not None and command:
                from .redis import obfuscate_redis, remove_redis_arguments

                span.meta[tag] = remove_redis_arguments(command) if removes_arguments else obfuscate_redis(command)

        return hide

    def _json(self, tag: str, bodies: JsonBodies) -> Callable[[Span], None]:
        obfuscator: JsonObfuscator | None = None

        def hide(span: Span) -> None:
            nonlocal obfuscator
            body = span.meta.get(tag)
            if body:
                if obfuscator is None:
                    from .json_body import JsonObfuscator

                    obfuscator = JsonObfuscator(bodies.keep, bodies.sql, lambda text: self._sql("")[text])
                span.meta[tag] = obfuscator.apply(body)

        return hide

    # --- what was worked out before -----------------------------------------------------------------------------------

    def _sql(self, database: str) -> Remembered:
        found = self._queries.get(database)
        if found is None:
            dialect = database.lower()
            if dialect not in _dialects:
                dialect = ""
            # Two spellings of one dialect share what is remembered.
            found = self._queries.get(dialect)
            if found is None:
                from .sql import obfuscate_sql

                make = partial(obfuscate_sql, dialect=dialect)
                found = self._queries[dialect] = Remembered(make, max_bytes=remembered_sql_bytes)
        return found

    def _urls(self) -> Remembered:
        found = self._remembered.get("url")
        if found is None:
            from .http import obfuscate_url

            make = partial(
                obfuscate_url,
                removes_query=self._settings.removes_query,
                removes_digits=self._settings.removes_path_digits,
            )
            found = self._remembered["url"] = Remembered(make, max_bytes=remembered_bytes)
        return found

    def _quantized(self) -> Remembered:
        found = self._remembered.get("redis")
        if found is None:
            from .redis import quantize_redis

            found = self._remembered["redis"] = Remembered(quantize_redis, max_bytes=remembered_bytes)
        return found
