"""Bodies of the logs intake: agents' entries with an object as message, plain entries, text, and nonsense."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.intake import Log
from ddx_agent.local.intake.decode import DecodeError, TooLarge, decode_logs

from_extension: dict[str, Any] = {
    "message": {
        "message": "order taken",
        "lambda": {
            "arn": "arn:aws:lambda:us-east-1:1:function:f",
            "request_id": "8286a188-ba32-4475-8077-530cd35c09a9",
        },
        "timestamp": 1666361103165,
        "status": "error",
    },
    "hostname": "h",
    "service": "orders",
    "ddtags": "env:dev,,team:a",
    "ddsource": "lambda",
}


def decode(
    body: bytes | Any, content_type: str | None = "application/json", query: dict[str, str] | None = None
) -> list[Log]:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return decode_logs(raw, content_type=content_type, query=query or {}, request=3)


def test_reads_an_entry_of_an_extension() -> None:
    (log,) = decode([from_extension])
    assert (log.request, log.message, log.status, log.timestamp_ms) == (3, "order taken", "error", 1666361103165)
    assert (log.service, log.source, log.hostname) == ("orders", "lambda", "h")
    assert log.tags == ("env:dev", "team:a")
    assert log.arn == "arn:aws:lambda:us-east-1:1:function:f"
    assert log.request_id == "8286a188-ba32-4475-8077-530cd35c09a9"
    assert log.attributes == from_extension


def test_reads_a_plain_entry_and_a_single_object() -> None:
    entry = {"message": "hello", "status": "warn", "timestamp": 5, "lambda": {"request_id": "r"}, "extra": [1]}
    (log,) = decode(entry)
    assert (log.message, log.status, log.timestamp_ms, log.request_id) == ("hello", "warn", 5, "r")
    assert (log.service, log.source, log.hostname, log.arn, log.tags) == (None, None, None, None, ())
    assert decode([entry]) == [log]
    assert decode(b" " + msgspec.json.encode(entry) + b"\n") == [log]


def test_a_message_of_another_type_is_shown_as_json() -> None:
    assert [log.message for log in decode([{"message": {"a": 1}}, {"message": [1]}, {"message": None}, {}])] == [
        '{"a":1}', "[1]", "", "",
    ]  # fmt: skip
    assert decode([{"message": {"message": {"nested": True}}}])[0].message == '{"nested":true}'


def test_a_missing_request_id_is_none() -> None:
    (log,) = decode([{"message": {"message": "m", "lambda": {"arn": "a", "request_id": None}}}])
    assert (log.request_id, log.arn) == (None, "a")


def test_text_is_a_log_a_line_with_the_querys_tags() -> None:
    logs = decode(
        b"one\n\ntwo \xff\r\n", "text/plain; charset=utf-8", {"ddtags": "a:b,c", "service": "s", "ddsource": "x"}
    )
    assert [log.message for log in logs] == ["one", "two \ufffd"]
    assert (logs[0].tags, logs[0].service, logs[0].source) == (("a:b", "c"), "s", "x")
    assert logs[0].attributes == {"message": "one"}


def test_an_entrys_own_fields_win_over_the_query() -> None:
    assert decode([{"message": "m", "service": "own"}], query={"service": "asked"})[0].service == "own"


def test_a_thousand_entries_are_the_limit() -> None:
    empty: dict[str, Any] = {}
    assert len(decode([empty] * 1000)) == 1000
    with pytest.raises(TooLarge, match="1001 log entries"):
        decode([empty] * 1001)


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"[1]", b'["text"]', b"null", b"3", b"{]", b'[{"message":"\xff"}]', b"[" * 100_000, b'{"a":1} x'],
)
def test_refuses_what_is_no_entry(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "lambda", "ddtags", "timestamp", "request_id", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(json_values)
@settings(max_examples=50, deadline=None)
def test_any_json_gives_logs_or_a_decode_error(value: Any) -> None:
    survives(json.dumps(value).encode())


@given(st.binary(max_size=100))
@settings(max_examples=50, deadline=None)
def test_any_bytes_give_logs_or_a_decode_error(data: bytes) -> None:
    survives(data)


def survives(data: bytes) -> None:
    with suppress(DecodeError):
        for log in decode(data):
            assert log.message.encode() is not None
            assert isinstance(log.attributes, dict)
