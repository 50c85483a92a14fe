"""The network log intake, over a real socket. Expected answers: `datadog-logs-agent` of serverless-components."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_core.http import open_tcp_listener, serve_http
from ddx_core.pipeline import FlushKind
from ddx_logs.entries import Entry, encode_entry, read_entries
from ddx_logs.network import max_body, network_routes
from ddx_logs.settings import LogsSettings

from .support import Rig

limit = 1 << 20
entry = {
    "message": "hello",
    "timestamp": 1_700_000_000_000,
    "hostname": "host",
    "service": "svc",
    "ddsource": "azure",
    "ddtags": "env:dev",
    "status": "info",
    "azure": {"resource_id": "/subscriptions/x"},
}


@asynccontextmanager
async def serving(rig: Rig) -> AsyncGenerator[int]:
    listener = await open_tcp_listener("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_http, [listener], network_routes(rig.pipeline.add))
        with trio.fail_after(20):
            yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send a whole request that asks to close, read the whole answer."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(request)
        answer = b"".join([chunk async for chunk in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def posting(body: bytes, path: str = "/v1/input", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_entries_arrive_with_every_key_they_came_with() -> None:
    rig = Rig(LogsSettings())
    bare = {"message": "bare", "timestamp": 1, "status": None}
    async with serving(rig) as port:
        assert await exchange(port, posting(msgspec.json.encode([entry, bare]))) == (200, b"ok")
    rig.check()
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    assert rig.intake.items == [entry, {"message": "bare", "timestamp": 1}]
    assert rig.intake.payloads[0].path == "/api/v2/logs"
    assert rig.delivered == 2


@pytest.mark.parametrize(
    ("request_", "status", "answer"),
    [
        (posting(b"[]"), 200, b"ok"),
        (posting(b"[]", path="/v2/input"), 404, b"not found"),
        (posting(b"", path="/v1/input", method="GET"), 405, b"method not allowed"),
        (posting(b"", path="/elsewhere", method="PUT"), 405, b"method not allowed"),
        (posting(b"{}"), 400, b"invalid JSON: "),
        (posting(b"nonsense"), 400, b"invalid JSON: "),
        (posting(b'["text"]'), 400, b"invalid JSON: "),
        (posting(b'[{"message":"x","timestamp":1},{"message":"x"}]'), 400, b"invalid JSON: entry 1: timestamp"),
        (posting(b'[{"message":7,"timestamp":1}]'), 400, b"invalid JSON: entry 0: message"),
        (posting(b'[{"message":"x","timestamp":true}]'), 400, b"invalid JSON: entry 0: timestamp"),
        (posting(b'[{"message":"x","timestamp":9223372036854775808}]'), 400, b"invalid JSON: entry 0: timestamp"),
        (posting(b'[{"message":"x","timestamp":1,"ddtags":["a"]}]'), 400, b"invalid JSON: entry 0: ddtags"),
        (posting(b"[" + b" " * max_body), 413, b"payload too large"),
        (
            b"POST /v1/input HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"100000\r\n%b\r\n" % (b" " * 0x100000) * 5
            + b"0\r\n\r\n",
            413,
            b"payload too large",
        ),
    ],
)
async def test_what_is_wrong_with_a_request_is_answered_and_nothing_of_it_taken(
    request_: bytes, status: int, answer: bytes
) -> None:
    rig = Rig()
    async with serving(rig) as port:
        told, body = await exchange(port, request_)
    assert told == status
    assert body.startswith(answer)
    assert rig.account.snapshot().accepted.items == 0


async def test_message_that_is_too_large_is_cut_and_an_entry_too_large_without_it_counted() -> None:
    rig = Rig(LogsSettings(max_item_bytes=1000))
    rig.pipeline.add(Entry(message="x" * 2000, timestamp=1, service="s"))
    rig.pipeline.add(Entry(message="m", timestamp=1, more={"blob": "x" * 2000}))
    rig.check()
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    (item,) = rig.intake.items
    assert item["message"].endswith("xxx...TRUNCATED...")
    assert len(rig.intake.payloads[0].body) == 1002
    assert rig.pipeline.statistics().truncated == 1
    assert rig.account.dropped("too_large").items == 1


async def test_disabled_pipeline_takes_no_entries() -> None:
    rig = Rig(LogsSettings(enabled=False))
    rig.pipeline.add(Entry(message="m", timestamp=1))
    assert rig.account.snapshot().accepted.items == 0


def test_lone_surrogate_anywhere_becomes_a_question_mark() -> None:
    item = encode_entry(
        Entry(message="a\ud800", timestamp=1, service="b\ud800", more={"c\ud800": ["d\ud800", 1]}), max_item_bytes=limit
    )
    assert item.data is not None
    assert msgspec.json.decode(item.data) == {"message": "a?", "timestamp": 1, "service": "b?", "c?": ["d?", 1]}


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
maybe_entries = st.fixed_dictionaries(
    {"message": st.text(max_size=20) | json_values, "timestamp": st.integers(0, 2**53) | json_values},
    optional={"service": st.text(max_size=5) | json_values, "x": json_values, "lambda": json_values},
)


@settings(max_examples=40, deadline=None)
@given(st.lists(maybe_entries, max_size=3))
def test_any_array_is_taken_whole_or_refused_whole(array: list[dict[str, Any]]) -> None:
    is_good = all(
        isinstance(each["message"], str)
        and type(each["timestamp"]) is int
        and isinstance(each.get("service"), (str, type(None)))
        for each in array
    )
    try:
        entries = read_entries(msgspec.json.encode(array))
    except MalformedInput:
        assert not is_good
        return
    assert is_good
    sent = [encode_entry(each, max_item_bytes=limit).data for each in entries]
    expected = [{name: it for name, it in each.items() if name != "service" or it is not None} for each in array]
    assert [msgspec.json.decode(each or b"") for each in sent] == expected


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=40) | st.text('[]{}":,messagtip1e0', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        entries = read_entries(body)
    except MalformedInput:
        return
    assert all(encode_entry(each, max_item_bytes=limit).data for each in entries)


def test_deeply_nested_and_huge_numbers_are_refused_or_kept() -> None:
    with pytest.raises(MalformedInput):
        read_entries(b'[{"message":"x","timestamp":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]")
    (kept,) = read_entries(b'[{"message":"x","timestamp":1,"x":123456789012345678901234567890}]')
    assert encode_entry(kept, max_item_bytes=limit).data is not None
