"""The trace agent as a tracer meets it: real sockets, every answer."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
import trio
import zstandard

from ddx_core.http import Request, open_tcp_listener
from ddx_core.http.message import Headers
from ddx_core.http.routes import Match
from ddx_core.pipeline import FlushKind
from ddx_traces.agent.routes import TraceRoutes
from ddx_traces.pipeline import TracesSettings

from .protobuf_reader import read_agent_payload
from .support import HttpClient, Rig, body_of, now, request_bytes, spans_in, v04, v05, wire_span, wire_trace
from .test_stats_payload import client_stats
from .v1_writer import v1

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
async def serving(
    settings: TracesSettings | None = None, *, also: Sequence[trio.SocketListener] = (), **fields: Any
) -> AsyncGenerator[Served]:
    listener = await open_tcp_listener("127.0.0.1", 0)
    rig = Served(settings, listeners=[listener, *also], **fields)
    rig.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery, AsyncExitStack() as rig.clients:
        await nursery.start(rig.pipeline.serve)
        yield rig
        rig.check()
        nursery.cancel_scope.cancel()


async def test_what_a_tracer_dropped_is_told_even_when_its_request_leaves_no_chunk() -> None:
    own_call = wire_span(resource="127.0.0.1")
    async with serving() as rig:
        client = await rig.client()
        for dropped, traces in ((7, []), (5, [[own_call]]), (3, [[own_call], wire_trace(3)])):
            headers = {"Datadog-Client-Dropped-P0-Traces": str(dropped), "Datadog-Client-Dropped-P0-Spans": "9"}
            assert (await client.ask("POST", "/v0.4/traces", v04(*traces), headers)).status == 200
        await rig.pipeline.flush(FlushKind.BLOCKING)
        await client.ask("POST", "/v0.4/traces", v04(wire_trace(4)))
        await rig.pipeline.flush(FlushKind.BLOCKING)
    first, second = (dict(payload.headers) for payload in rig.intake.traces)
    assert first["Datadog-Client-Dropped-P0-Traces"] == "15"
    assert first["Datadog-Client-Dropped-P0-Spans"] == "27"
    assert not [name for name in second if "Dropped" in name]


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
        ("/v0.4/traces", b'[[{"trace_id":1}]]', {"Content-Type": "application/msgpack"}, 400),
        ("/v0.4/traces", b'[[{"trace_id":1}', {"Content-Type": "application/json"}, 400),
        ("/v0.7/traces", v04(wire_trace(1)), {}, 400),
        ("/v1.0/traces", v04(wire_trace(1)), {}, 400),
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
        buckets = [{**bucket, "Start": now} for bucket in client_stats["Stats"]]
        posted = {**client_stats, "Stats": buckets}
        answer = await client.ask("POST", "/v0.6/stats", msgspec.msgpack.encode(posted))
        assert (answer.status, answer.body) == (202, b"Successfully buffered stats to be aggregated.")
        assert rig.stats_account.snapshot().held.items == 2
        await rig.pipeline.flush(FlushKind.BLOCKING)
        (payload,) = rig.intake.stats
        (sent,) = msgspec.msgpack.decode(gzip.decompress(payload.body))["Stats"]
        assert sent == {**posted, "Hostname": ""}
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
async def test_info_tells_what_is_served(method: str) -> None:
    settings = TracesSettings(
        env="prod",
        receiver_port=9126,
        receiver_socket="/tmp/apm.socket",
        told_of_filters={"ignore_resources": ["GET /"]},
    )
    async with serving(settings) as rig:
        answer = await (await rig.client()).ask(method, "/info")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        page = answer.json
        assert page["endpoints"] == [
            "/v0.3/traces",
            "/v0.3/services",
            "/v0.4/traces",
            "/v0.4/services",
            "/v0.5/traces",
            "/v0.7/traces",
            "/v1.0/traces",
            "/v0.6/stats",
            "/info",
        ]
        assert (page["client_drop_p0s"], page["span_events"], page["span_meta_structs"]) == (False, True, True)
        assert "peer.service" in page["peer_tags"]
        assert set(page["span_kinds_stats_computed"]) == {"client", "server", "producer", "consumer"}
        assert page["config"] == {
            "default_env": "prod",
            "receiver_port": 9126,
            "receiver_socket": "/tmp/apm.socket",
            "max_request_bytes": 50 << 20,
            "statsd_port": 8125,
        }
        assert page["ignore_resources"] == ["GET /"]
        assert "evp_proxy_allowed_headers" not in page
        state = hashlib.sha256(answer.body).hexdigest()
        for path in ("/info", "/v0.4/traces", "/v0.6/stats"):
            headers = (await (await rig.client()).ask("PUT", path, b"\x90")).headers
            assert (headers["datadog-agent-state"], headers["datadog-agent-version"]) == (state, page["version"])


async def test_tracers_that_count_may_leave_out_unsampled_traces_where_that_is_safe() -> None:
    async with serving(TracesSettings(tracers_may_drop=True)) as rig:
        assert (await (await rig.client()).ask("GET", "/info")).json["client_drop_p0s"] is True


async def test_other_paths_and_methods_are_refused() -> None:
    async with serving() as rig:
        answer = await (await rig.client()).ask("POST", "/v0.9/traces", v04(wire_trace(1)))
        assert (answer.status, answer.body) == (404, b"Not Found")
        answer = await (await rig.client()).ask("GET", "/v0.4/traces")
        assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "POST, PUT")


@pytest.mark.parametrize("path", ["/v0.4/traces", "/v0.6/stats", "/info"])
async def test_pages_of_other_sites_are_turned_away(path: str) -> None:
    async with serving() as rig:
        client = await rig.client()
        answer = await client.ask("POST", path, v04(wire_trace(1)), {"Sec-Fetch-Site": "cross-site"})
        assert (answer.status, answer.body) == (403, b"cross-site request rejected\n")
        assert rig.held == 0
        answer = await client.ask("POST", "/v0.4/traces", v04(wire_trace(1)), {"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 200


# --- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v0.7/traces", msgspec.msgpack.encode({"env": "Prod!", "app_version": "7", "chunks": [{"spans": wire_trace(1, 2)}]})),
        ("/v1.0/traces", v1({6: bytes(15) + b"\x01", 4: [{4: 1}, {4: 2}]}, before={7: "Prod!", 9: "7"})),
    ],
)  # fmt: skip
async def test_newer_forms_tell_of_the_tracer_in_the_body(path: str, body: bytes) -> None:
    async with serving() as rig:
        answer = await (await rig.client()).ask("PUT", path, body, {"Datadog-Meta-Lang": "go"})
        assert (answer.status, answer.json, answer.headers["content-type"]) == (200, rates, "application/json")
        assert rig.held == 2
        await rig.pipeline.flush(FlushKind.FINAL)
        (payload,) = rig.intake.traces
        (sent,) = read_agent_payload(body_of(payload))["tracerPayloads"]
        assert (sent["languageName"], sent["env"], sent["appVersion"]) == ("go", "prod", "7")


@pytest.mark.parametrize("content_type", ["application/json", "text/json; charset=utf-8", None])
@pytest.mark.parametrize("path", ["/v0.3/traces", "/v0.4/traces"])
async def test_json_is_taken(path: str, content_type: str | None) -> None:
    async with serving() as rig:
        headers = {"Content-Type": content_type} if content_type else {}
        answer = await (await rig.client()).ask("PUT", path, msgspec.json.encode([wire_trace(1, 2)]), headers)
        assert (answer.status, rig.held) == (200, 2)


async def test_v03_is_answered_in_its_own_way() -> None:
    async with serving() as rig:
        client = await rig.client()
        answer = await client.ask("PUT", "/v0.3/traces", v04(wire_trace(1)))
        assert (answer.status, answer.body, answer.headers["content-type"]) == (
            200,
            b"OK\n",
            "text/plain; charset=utf-8",
        )
        assert (await client.ask("PUT", "/v0.3/traces", b"x")).status == 400
        for path in ("/v0.3/services", "/v0.4/services"):
            answer = await client.ask("PUT", path, b"{}")
            assert (answer.status, answer.body) == (200, b"OK\n")


async def test_rates_are_told_once_to_who_keeps_their_version() -> None:
    async with serving() as rig:
        client = await rig.client()
        known = "none yet"
        for expected in (rates, {}, {}):
            answer = await client.ask("PUT", "/v0.4/traces", b"\x90", {"Datadog-Rates-Payload-Version": known})
            known = answer.headers["datadog-rates-payload-version"]
            assert answer.json == expected
        assert "datadog-rates-payload-version" not in (await client.ask("PUT", "/v0.4/traces", b"\x90")).headers


@pytest.mark.parametrize("path", ["/v0.7/traces", "/v1.0/traces", "/v0.3/traces"])
async def test_full_buffer_puts_off_every_form(path: str) -> None:
    settings = TracesSettings(max_buffer_bytes=20_000, max_payload_bytes=10_000)
    async with serving(settings, outbox_bytes=30_000) as rig:
        rig.intake.is_down = True
        client = await rig.client()
        number = 0
        while (await client.ask("PUT", "/v0.4/traces", v04(wire_trace(number + 1, 10)))).status == 200:
            number += 1
            assert number < 1000
        answer = await client.ask("PUT", path, b"\x80")
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        rig.check()


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


@pytest.mark.parametrize("version", ["v0.7", "v1.0"])
async def test_what_a_chunk_says_of_all_its_spans_reaches_the_payload(version: str) -> None:
    if version == "v0.7":
        spans = [wire_span(span_id=3, parent_id=2), wire_span(span_id=2)]
        chunk = {"priority": 1, "origin": "synthetics", "spans": spans, "tags": {"a": "b"}, "dropped_trace": True}
        body = msgspec.msgpack.encode({"chunks": [chunk], "tags": {"team": "x"}})
    else:
        told = {1: 1, 2: "synthetics", 3: {"a": "b"}, 5: True, 6: bytes(15) + b"\x01"}
        spans = [{4: 3, 5: 2, 1: "web", 2: "n", 3: "r", 6: now, 7: 5}, {4: 2, 1: "web", 2: "n", 3: "r", 6: now, 7: 5}]
        body = v1({**told, 4: spans}, before={10: {"team": "x"}})
    async with serving() as rig:
        client = await rig.client()
        assert (await client.ask("POST", f"/{version}/traces", body)).status == 200
        await rig.pipeline.flush(FlushKind.BLOCKING)
    (tracer_payload,) = read_agent_payload(body_of(rig.intake.traces[0]))["tracerPayloads"]
    (chunk,) = tracer_payload["chunks"]
    assert tracer_payload["tags"]["team"] == "x"
    assert "_dd.tags.function" in tracer_payload["tags"]
    assert (chunk["tags"], chunk["droppedTrace"], chunk["origin"]) == ({"a": "b"}, True, "synthetics")
    assert [each["meta"]["_dd.origin"] for each in chunk["spans"]] == ["synthetics", "synthetics"]


async def test_request_that_was_received_is_taken_to_its_end_at_shutdown() -> None:
    listener = await open_tcp_listener("127.0.0.1", 0)
    rig = Rig(None, listeners=[listener])
    async with await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1]) as stream:
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.pipeline.serve)
            nursery.start_soon(stream.send_all, request_bytes("POST", "/v0.4/traces", v04(wire_trace(1), *_long())))
            while not rig.held:
                await trio.lowlevel.checkpoint()
            assert rig.held < 2000
            nursery.cancel_scope.cancel()
        assert (await HttpClient(stream).read_answer()).status == 200
    assert rig.held == 2001
    rig.check()


def _long() -> list[list[dict[str, Any]]]:
    return [wire_trace(number, meta={"text": "x" * 100}) for number in range(2, 2002)]


async def test_what_cannot_be_taken_any_more_at_shutdown_is_counted() -> None:
    rig = Rig()
    pauses = 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 2:
            scope.cancel()
        await trio.lowlevel.checkpoint()

    routes = TraceRoutes(TracesSettings(), rig.pipeline._store, rig.pipeline._stats, pause).routes()  # pyright: ignore[reportPrivateUsage]
    found = routes.find("POST", "/v0.4/traces")
    assert isinstance(found, Match)
    with trio.CancelScope() as scope:
        await found.route.handler(
            Request(method="POST", path="/v0.4/traces", query="", headers=Headers([]), body=v04(*_long()))
        )
    assert scope.cancelled_caught
    assert 0 < rig.held < 2000
    assert rig.held + rig.dropped("shutdown") == 2000
    rig.check()
