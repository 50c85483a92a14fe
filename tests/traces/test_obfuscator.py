"""Which span is hidden by which grammar, and what that takes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ddx_traces.obfuscate import JsonBodies, ObfuscationSettings, Obfuscator
from ddx_traces.obfuscate.cache import Remembered
from ddx_traces.span import Span

from .support import span

everything = ObfuscationSettings(
    redis=True,
    valkey=True,
    valkey_removes_arguments=True,
    memcached=True,
    mongodb=JsonBodies(enabled=True, keep=("find",)),
    elasticsearch=JsonBodies(enabled=True, sql=("query",)),
    opensearch=JsonBodies(enabled=True),
    cards=True,
)


def hidden(settings: ObfuscationSettings | None = None, **fields: Any) -> Span:
    changed = span(**fields)
    Obfuscator(settings).apply(changed)
    return changed


@pytest.mark.parametrize("kind", ["sql", "cassandra"])
def test_sql_is_hidden_in_the_resource_and_told_in_a_tag(kind: str) -> None:
    changed = hidden(type=kind, resource="SELECT a FROM t WHERE b = 'x'")
    assert changed.resource == "SELECT a FROM t WHERE b = ?"
    assert changed.meta == {"sql.query": "SELECT a FROM t WHERE b = ?"}
    assert hidden(type=kind, resource="").meta == {}


@pytest.mark.parametrize(("database", "expected"), [("", "a [ b ]"), ("MSSQL", "a b"), ("oracle", "a [ b ]")])
def test_the_dialect_is_the_databases(database: str, expected: str) -> None:
    assert hidden(type="sql", resource="a [b]", meta={"db.type": database}).resource == expected


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_redis_keeps_the_names_of_commands(kind: str) -> None:
    changed = hidden(type=kind, resource="SET k v", meta={f"{kind}.raw_command": "SET k v"})
    assert (changed.resource, changed.meta) == ("SET", {f"{kind}.raw_command": "SET k v"})


def test_urls_lose_credentials_on_web_spans_alone() -> None:
    url = "http://u:p@foo.com/"
    assert hidden(type="web", meta={"http.url": url}).meta == {"http.url": "http://foo.com/"}
    assert hidden(type="http", meta={"http.url": url}).meta == {"http.url": "http://foo.com/"}
    assert hidden(type="worker", meta={"http.url": url}).meta == {"http.url": url}


@pytest.mark.parametrize(
    ("kind", "tag", "value", "expected"),
    [
        ("redis", "redis.raw_command", "SET k v", "SET k ?"),
        ("valkey", "valkey.raw_command", "SET k v", "SET ?"),
        ("memcached", "memcached.command", "set k 0 0 1\r\nv", ""),
        ("mongodb", "mongodb.query", '{"find":"c","filter":{"a":1}}', '{"find":"c","filter":{"a":"?"}}'),
        ("elasticsearch", "elasticsearch.body", '{"query":"select 1","a":2}', '{"query":"select ?","a":"?"}'),
        ("opensearch", "opensearch.body", '{"a":2}', '{"a":"?"}'),
        ("anything", "tag", "378282246310005", "?"),
    ],
)
def test_the_rest_is_hidden_when_a_setting_says_so(kind: str, tag: str, value: str, expected: str) -> None:
    assert hidden(everything, type=kind, meta={tag: value}).meta[tag] == expected
    assert hidden(type=kind, meta={tag: value}).meta[tag] == value


def test_memcached_may_keep_its_command() -> None:
    settings = ObfuscationSettings(memcached=True, memcached_keeps_command=True)
    assert (
        hidden(settings, type="memcached", meta={"memcached.command": "get k\r\nx"}).meta["memcached.command"]
        == "get k"
    )


def test_resources_of_statistics_are_hidden_too() -> None:
    obfuscator = Obfuscator()
    assert obfuscator.obfuscate_resource("sql", "SELECT 1") == "SELECT ?"
    assert obfuscator.obfuscate_resource("redis", "GET k") == "GET"
    assert obfuscator.obfuscate_resource("web", "GET /1") == "GET /1"


def test_grammars_are_imported_when_they_are_needed() -> None:
    script = (
        "import sys, ddx_traces.obfuscate as o; o.Obfuscator();"
        "print(sorted(name for name in sys.modules if name.startswith('ddx_traces.obfuscate.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str([f"ddx_traces.obfuscate.{name}" for name in ("cache", "obfuscator", "settings")])


def test_what_is_remembered_is_bounded_and_what_is_used_stays() -> None:
    made: list[str] = []

    def make(text: str) -> str:
        made.append(text)
        return text.upper()

    remembered = Remembered(make, max_bytes=32 << 10)
    for number in range(1000):
        assert remembered["kept"] == "KEPT"
        assert remembered[f"other {number}"] == f"OTHER {number}"
    assert made.count("kept") == 1
    assert len(remembered) < 200
    assert remembered["x" * 4000] == "X" * 4000
    assert "x" * 4000 not in remembered
