"""The trace agent as a tracer meets it: real sockets, every answer."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
import trio
import zstandard

from ddx_core.http import open_tcp_listener
from ddx_core.pipeline import FlushKind
from ddx_traces.pipeline import TracesSettings

from .support import HttpClient, Rig, request_bytes, spans_in, v04, v05, wire_span, wire_trace
from .test_stats_payload import client_stats

rates: dict[str, Any] = {"rate_by_service": {}}


class Served(Rig):
    port: int
    clients: AsyncExitStack

    async def client(self) -> HttpClient:
        """A new connection, closed when the serving ends."""
        client = await HttpClient.connect(self.port)
        await self.clients.enter_async_context(client.stream)
        return client


@asynccontextmanager
async def serving(settings: TracesSettings | None = None, **fields: Any) -> AsyncGenerator[Served]:
    listener = await open_tcp_listener("127.0.0.1", 0)
    rig = Served(settings, listeners=[listener], **fields)
    rig.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery, AsyncExitStack() as rig.clients:
        await nursery.start(rig.pipeline.serve)
        yield rig
        rig.check()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(("path", "encode"), [("/v0.4/traces", v04), ("/v0.5/traces", v05)], ids=["v0.4", "v0.5"])
async def test_traces_are_taken_and_answered_with_rates(method: str, path: str, encode: object) -> None:
    async with serving() as rig:
        client = await rig.client()
        body = v04(wire_trace(1, 3)) if encode is v04 else v05(wire_trace(1, 3))
        answer = await client.ask(method, path, body, {"Datadog-Meta-Lang": "python", "X-Datadog-Trace-Count": "1"})
        assert (answer.status, answer.json, answer.headers["content-type"]) == (200, rates, "application/json")
        assert rig.held == 3
        await rig.pipeline.flush(FlushKind.BLOCKING)
    (payload,) = rig.intake.traces
    assert [each["spanID"] for each in spans_in(payload)] == [1001, 1002, 1003]
    assert dict(payload.headers)["Datadog-Meta-Lang"] == "python"
    assert rig.delivered == 3


async def test_connection_is_kept_and_requests_are_taken_in_order() -> None:
    async with serving() as rig:
        client = await rig.client()
        for trace_id in range(1, 6):
            assert (await client.ask("PUT", "/v0.4/traces", v04(wire_trace(trace_id)))).status == 200
        await rig.pipeline.flush(FlushKind.BLOCKING)
        assert [each["traceID"] for each in rig.intake.spans] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
async def test_compressed_bodies_are_taken(coding: str, encode: object) -> None:
    async with serving() as rig:
        body = v04(wire_trace(1, 2))
        coded = gzip.compress(body) if coding == "gzip" else zstandard.compress(body)
        answer = await (await rig.client()).ask("PUT", "/v0.4/traces", coded, {"Content-Encoding": coding})
        assert answer.status == 200
        assert rig.held == 2


async def test_chunked_bodies_are_taken() -> None:
    async with serving() as rig:
        client = await rig.client()
        body = v04(wire_trace(1, 2))
        head = b"POST /v0.4/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
        await client.stream.send_all(head + chunked)
        assert (await client.read_answer()).status == 200
        assert rig.held == 2


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v0.4/traces", b"", {}, 400),
        ("/v0.4/traces", b"not msgpack at all", {}, 400),
        ("/v0.4/traces", v04(wire_trace(1))[:-1], {}, 400),
        ("/v0.5/traces", v04(wire_trace(1)), {}, 400),
        ("/v0.4/traces", b'[[{"trace_id":1}]]', {"Content-Type": "application/json"}, 400),
        ("/v0.4/traces", b"x", {"Content-Encoding": "gzip"}, 400),
        ("/v0.4/traces", b"x", {"Content-Encoding": "br"}, 415),
        ("/v0.4/traces", gzip.compress(bytes(30_000)), {"Content-Encoding": "gzip"}, 413),
        ("/v0.4/traces", bytes(20_001), {}, 413),
        ("/v0.6/stats", b"\x90", {}, 400),
        ("/v0.6/stats", b"", {}, 400),
        ("/v0.6/stats", bytes(2001), {}, 413),
    ],
)
async def test_bad_input_is_the_clients_error(path: str, body: bytes, headers: dict[str, str], status: int) -> None:
    async with serving(TracesSettings(max_request_bytes=20_000, max_stats_request_bytes=2000)) as rig:
        answer = await (await rig.client()).ask("POST", path, body, headers)
        assert answer.status == status
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.body
        assert rig.account.snapshot().accepted.items == 0
        # The next request is served as ever.
        assert (await (await rig.client()).ask("PUT", "/v0.4/traces", v04(wire_trace(1)))).status == 200


async def test_bad_spans_cost_themselves_alone() -> None:
    async with serving() as rig:
        body = v04(
            [wire_span(), wire_span(span_id=3, name=7), wire_span(span_id=4, error=None)], [wire_span(span_id=0)]
        )
        assert (await (await rig.client()).ask("PUT", "/v0.4/traces", body)).status == 200
        assert (rig.held, rig.dropped("malformed")) == (2, 2)


async def test_full_buffer_puts_tracers_off_and_takes_them_once_there_is_room() -> None:
    settings = TracesSettings(max_buffer_bytes=20_000, max_payload_bytes=10_000)
    async with serving(settings, outbox_bytes=30_000) as rig:
        rig.intake.is_down = True
        client = await rig.client()
        taken = 0
        while True:
            answer = await client.ask("PUT", "/v0.4/traces", v04(wire_trace(taken + 1, 10)))
            if answer.status != 200:
                break
            taken += 1
            assert taken < 1000
        assert (answer.status, answer.headers["retry-after"], answer.json) == (429, "1", rates)
        assert rig.held == taken * 10
        assert not rig.account.snapshot().dropped
        rig.intake.is_down = False
        await rig.pipeline.flush(FlushKind.BACKGROUND)
        assert (await client.ask("PUT", "/v0.4/traces", v04(wire_trace(taken + 1, 10)))).status == 200
        await rig.pipeline.flush(FlushKind.BACKGROUND)
        assert len(rig.intake.spans) == rig.delivered == (taken + 1) * 10


async def test_request_sent_again_is_taken_once() -> None:
    async with serving() as rig:
        client = await rig.client()
        for _ in range(2):
            assert (await client.ask("PUT", "/v0.4/traces", v04(wire_trace(1, 4)))).status == 200
        assert (rig.held, rig.dropped("duplicate")) == (4, 4)


async def test_statistics_are_taken_and_passed_on() -> None:
    async with serving() as rig:
        client = await rig.client()
        answer = await client.ask("POST", "/v0.6/stats", msgspec.msgpack.encode(client_stats))
        assert (answer.status, answer.body) == (202, b"Successfully buffered stats to be aggregated.")
        assert rig.stats_account.snapshot().held.items == 2
        await rig.pipeline.flush(FlushKind.BLOCKING)
        (payload,) = rig.intake.stats
        (sent,) = msgspec.msgpack.decode(gzip.decompress(payload.body))["Stats"]
        assert sent == {**client_stats, "Hostname": ""}
        assert rig.stats_account.snapshot().delivered.items == 2


async def test_statistics_of_nothing_are_not_passed_on() -> None:
    async with serving() as rig:
        answer = await (await rig.client()).ask("PUT", "/v0.6/stats", b"\x80")
        assert (answer.status, answer.body) == (202, b"Empty stats payload; nothing to aggregate.")
        await rig.pipeline.flush(FlushKind.FINAL)
        assert rig.intake.payloads == []


async def test_statistics_that_find_no_room_are_put_off() -> None:
    async with serving(TracesSettings(max_stats_buffer_bytes=2000)) as rig:
        client = await rig.client()
        body = msgspec.msgpack.encode(client_stats)
        taken = 0
        while (answer := await client.ask("PUT", "/v0.6/stats", body)).status == 202:
            taken += 1
            assert taken < 100
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert taken > 0
        assert rig.stats_account.snapshot().held.items == 2 * taken


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_info_tells_what_is_served_and_asks_for_all_spans(method: str) -> None:
    async with serving() as rig:
        answer = await (await rig.client()).ask(method, "/info")
        assert answer.status == 200
        assert answer.json == {
            "endpoints": ["/v0.4/traces", "/v0.5/traces", "/v0.6/stats", "/info"],
            "client_drop_p0s": False,
            "span_meta_structs": True,
            "span_events": True,
        }


async def test_other_paths_and_methods_are_refused() -> None:
    async with serving() as rig:
        answer = await (await rig.client()).ask("POST", "/v0.7/traces", v04(wire_trace(1)))
        assert (answer.status, answer.body) == (404, b"Not Found")
        answer = await (await rig.client()).ask("GET", "/v0.4/traces")
        assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "POST, PUT")


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\xff" * 3000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n",
        b"POST /v0.4/traces HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        request_bytes("POST", "/v0.4/traces", b"\x91\x91" + b"\x81\xa1x" * 20_000),
        request_bytes("POST", "/v0.4/traces", b"\xdd\xff\xff\xff\xff"),
        request_bytes("POST", "/v0.6/stats", b"\xdf\xff\xff\xff\xff"),
        request_bytes("POST", "/v0.4/traces", b"\x91")[:-1],
    ],
    ids=range(9),
)
async def test_garbage_hurts_nobody(noise: bytes) -> None:
    async with serving() as rig:
        neighbour = await rig.client()
        assert (await neighbour.ask("PUT", "/v0.4/traces", v04(wire_trace(1)))).status == 200
        stream = (await rig.client()).stream
        answer = b""
        with trio.move_on_after(5), suppress(trio.BrokenResourceError):
            await stream.send_all(noise)
            await stream.send_eof()
            answer = await stream.receive_some(65536)
        assert not answer or int(answer.split(b" ")[1]) in (400, 404, 413, 431, 505), answer
        assert (await neighbour.ask("PUT", "/v0.4/traces", v04(wire_trace(2)))).status == 200
        assert rig.held == 2
