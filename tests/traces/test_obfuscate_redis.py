"""Redis, Valkey and Memcached commands; vectors of libdatadog, libdd-trace-obfuscation (redis.rs, memcached.rs)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_traces.obfuscate.memcached import obfuscate_memcached
from ddx_traces.obfuscate.redis import obfuscate_redis, quantize_redis, remove_redis_arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CLIENT", "CLIENT"), ("CLIENT LIST", "CLIENT LIST"), ("CLIENT ...", "..."),
        ("get my_key", "GET"), ("SET le_key le_value", "SET"), ("UNKNOWN 123", "UNKNOWN"),
        ("\n\n  \nSET foo bar  \n  \n\n  ", "SET"),
        ("CONFIG SET parameter value", "CONFIG SET"),
        ("SET toto tata \n \n  EXPIRE toto 15  ", "SET EXPIRE"),
        ("MULTI\nSET k1 v1\nSET k2 v2\nSET k3 v3\nSET k4 v4\nDEL to_del\nEXEC", "MULTI SET SET ..."),
        ("GET...", "..."), ("GET k...", "GET"),
        ("GET k1\nGET k2\nG...", "GET GET ..."),
        ("GET k1\nGET k2\nDEL k3\nGET k...", "GET GET DEL ..."),
        ("GET k...\nDEL k2\nMS...", "GET DEL ..."),
        ("GET k...\nDE...\nMS...", "GET ..."),
        ("GET k1\nDE...\nGET k2", "GET GET"),
        ("GET k1\nDE...\nGET k2\nHDEL k3 a\nGET k4\nDEL k5", "GET GET HDEL ..."),
        ("\t", "\t"), ("\r\n", "\r"), ("", ""),
    ],
)  # fmt: skip
def test_a_resource_names_commands(text: str, expected: str) -> None:
    assert quantize_redis(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AUTH james my-secret-password", "AUTH ?"), ("AUTH", "AUTH"),
        ("ACL SETUSER alice on >password ~* &* +@all", "ACL SETUSER ?"), ("ACL LIST", "ACL LIST"),
        ("SET key value [expiration EX seconds]", "SET key ? [expiration EX seconds]"),
        (
            "BITFIELD key GET type offset SET type offset value INCRBY type",
            "BITFIELD key GET type offset SET type offset ? INCRBY type",
        ),
        ("CONFIG foo bar baz", "CONFIG foo bar baz"), ("CONFIG SET key value", "CONFIG SET key ?"),
        ("GEOADD key longitude latitude", "GEOADD key longitude latitude"),
        ("GEOADD key 1 2 member 3 4 other", "GEOADD key 1 2 ? 3 4 ?"),
        ("HMSET key field value field value", "HMSET key field ? field ?"),
        ("MSET\nMSET key value", "MSET\nMSET key ?"), ("MSET k v k v", "MSET k ? k ?"),
        ("ZADD key NX CH score member score member", "ZADD key NX CH score ? score ?"),
        ("\nCONFIG command\nSET k v\n   ", "CONFIG command\nSET k ?"),
        ('SET k "a b \\" \n c" x', "SET k ? x"), ("SET k a\\ b x", "SET k ? x"),
        ("linsert k BEFORE pivot value", "linsert k BEFORE pivot ?"), ("SETEX k 10 v", "SETEX k 10 ?"),
        ("GET k", "GET k"), ('SET k "open', "SET k ?"),
    ],
)  # fmt: skip
def test_a_command_loses_its_values(text: str, expected: str) -> None:
    assert obfuscate_redis(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET k", "GET ?"), ("GET", "GET"), ("", ""), ("SET k v", "SET ?"),
        ("BITFIELD key SET key value GET key", "BITFIELD ? SET ? GET ?"),
        ("config key", "config ?"), ("CONFIG SET a b", "CONFIG SET ?"), ("CONFIG", "CONFIG"),
    ],
)  # fmt: skip
def test_or_all_of_its_arguments(text: str, expected: str) -> None:
    assert remove_redis_arguments(text) == expected


def test_memcached_keeps_the_first_line() -> None:
    assert obfuscate_memcached("set mykey 0 60 5\r\nvalue") == "set mykey 0 60 5"
    assert obfuscate_memcached("get mykey") == "get mykey"


@given(st.text(st.sampled_from(' \n\t"\\abSETGET.'), max_size=80) | st.text(max_size=60))
def test_any_text_gives_a_text(text: str) -> None:
    assert len(quantize_redis(text).split(" ")) <= 7
    assert obfuscate_redis(text).count("\n") <= text.count("\n")
    assert remove_redis_arguments(text).count("\n") == 0


@given(
    st.text(
        st.characters(codec="ascii", exclude_characters='"\\', exclude_categories=("C", "Z")), min_size=8, max_size=20
    )
)
def test_values_never_come_through(value: str) -> None:
    for command in (
        f"SET key {value}",
        f'HSET h f "a {value} b"',
        f"AUTH {value}",
        f"SADD s {value} {value}",
        f"MSET k {value}",
    ):
        assert value not in obfuscate_redis(command).split("?")[-1]
        assert obfuscate_redis(command).endswith("?")
