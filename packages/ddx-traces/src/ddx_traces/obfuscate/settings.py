"""What obfuscation can be told. The defaults are those of the vendor's extension."""

from __future__ import annotations

import msgspec


class JsonBodies(msgspec.Struct, frozen=True, kw_only=True):
    """`keep` names keys whose values stay, `sql` keys whose texts are SQL and keep all but its literals."""

    enabled: bool = False
    keep: tuple[str, ...] = ()
    sql: tuple[str, ...] = ()


class ObfuscationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """SQL, the resources of Redis and Valkey, and credentials in URLs are hidden always; this is about the rest.

    `redis`, `valkey`, `memcached`: the commands in spans' tags, too. `cards_luhn`: only numbers with a correct check digit.
    """

    removes_query: bool = False
    removes_path_digits: bool = False
    redis: bool = False
    redis_removes_arguments: bool = False
    valkey: bool = False
    valkey_removes_arguments: bool = False
    memcached: bool = False
    memcached_keeps_command: bool = False
    mongodb: JsonBodies = JsonBodies()
    elasticsearch: JsonBodies = JsonBodies()
    opensearch: JsonBodies = JsonBodies()
    cards: bool = False
    cards_luhn: bool = False
    cards_keep: tuple[str, ...] = ()
