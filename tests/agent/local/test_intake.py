"""The intake as a server: real requests by a real client, the answers of the real endpoints, and the scripted faults."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import trio
import zstandard

from ddx_agent.local.intake import (
    Intake,
    Raw,
    ReceivedRequest,
    Script,
    Span,
    hang,
    open_intake,
    reception,
    server,
    slow,
)
from ddx_agent.local.intake.decode import decode_traces
from tests.agent.local.dynamic_protobuf import encoded
from tests.support.plain_http import no_authorities

key = "0123456789abcdef0123456789abcdef"

log_body = b'[{"message":"hello","service":"s"}]'
series_body = b'{"series":[{"metric":"m","points":[{"timestamp":1,"value":2}],"type":3}]}'
sketch_body = encoded(
    "SketchPayload", {"sketches": [{"metric": "m", "dogsketches": [{"cnt": 5, "k": [1338], "n": [5]}]}]}
)
trace_body = encoded("AgentPayload", {"tracerPayloads": [{"chunks": [{"spans": [{"name": "x"}, {"name": "y"}]}]}]})
stats_body = msgspec.msgpack.encode(
    {"Stats": [{"Stats": [{"Start": 1, "Duration": 1, "Stats": [{"Name": "x", "Hits": 3}]}]}]}
)


@asynccontextmanager
async def intake_and_client(**options: Any) -> AsyncGenerator[tuple[Intake, httpx.AsyncClient], None]:
    with trio.fail_after(20):
        async with (
            open_intake(**options) as intake,
            httpx.AsyncClient(
                base_url=intake.url, headers={"DD-API-KEY": key}, trust_env=False, verify=no_authorities()
            ) as client,
        ):
            yield intake, client


json_type = {"Content-Type": "application/json"}
protobuf_type = {"Content-Type": "application/x-protobuf"}

accepted: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("/api/v2/logs", log_body, json_type, 202, "{}"),
    ("/v1/input", log_body, json_type, 200, "{}"),
    (f"/v1/input/{key}", b"a line", {"Content-Type": "text/plain"}, 200, "{}"),
    ("/api/v1/series", b'{"series":[{"metric":"m","points":[[1,2]]}]}', json_type, 202, '{"status":"ok"}'),
    ("/api/v2/series", series_body, json_type, 202, '{"errors":[]}'),
    (
        "/api/v2/series",
        encoded("MetricPayload", {"series": [{"metric": "m", "points": [{"value": 1.0}]}]}),
        protobuf_type,
        202,
        '{"errors":[]}',
    ),
    ("/api/beta/sketches", sketch_body, protobuf_type, 202, '{"status":"ok"}'),
    (
        "/api/v1/distribution_points",
        b'{"series":[{"metric":"m","points":[[1,[2]]]}]}',
        json_type,
        202,
        '{"status":"ok"}',
    ),
    ("/api/v0.2/traces", trace_body, protobuf_type, 200, "{}"),
    ("/api/v0.2/stats", stats_body, {"Content-Type": "application/msgpack"}, 202, "{}"),
    ("/api/v1/check_run", b'[{"check":"c","status":0}]', json_type, 202, '{"status":"ok"}'),
    ("/api/v1/events", b'{"title":"t"}', json_type, 202, '{"status":"ok"}'),
    ("/intake/", b'{"events":{}}', json_type, 202, '{"status":"ok"}'),
    ("/api/v2/profile", b"\x00anything", {}, 202, "{}"),
    ("/api/v0.1/pipeline_stats", b"\x80", {}, 202, "{}"),
    ("/api/v2/apmtelemetry", b"{}", json_type, 202, "{}"),
    ("/api/v2/llmobs", b"[]", json_type, 202, "{}"),
    ("/api/intake/llm-obs/v2/eval-metric", b"{}", json_type, 202, "{}"),
    ("/api/v2/debugger", b"[]", json_type, 202, "{}"),
    ("/api/v9/never/heard/of", b"\xff", {}, 202, "{}"),
]


async def test_every_endpoint_takes_what_agents_send_and_answers_as_datadog_does() -> None:
    async with intake_and_client() as (intake, client):
        for path, body, headers, status, text in accepted:
            response = await client.post(path, content=body, headers=headers)
            assert (path, response.status_code, response.text) == (path, status, text)
        totals = intake.store.totals()
        assert (totals.requests, totals.refused) == (len(accepted), 0)
        assert (totals.logs, totals.series_points, totals.sketches, totals.sketch_samples) == (3, 3, 2, 6)
        assert (totals.spans, totals.stats_groups, totals.stats_hits) == (2, 1, 3)
        assert totals.raw == {
            "profile": 1, "pipeline_stats": 1, "telemetry": 1, "llmobs": 1, "eval_metric": 1,
            "debugger": 1, "other": 1,
        }  # fmt: skip
        assert (totals.events, totals.service_checks) == (1, 1)
        assert intake.store.raw(kind="other") == [
            Raw(request=len(accepted), kind="other", path="/api/v9/never/heard/of", content_type=None, body=b"\xff")
        ]
        assert (await client.get("/api/v1/validate")).json() == {"valid": True}
        assert (await client.get("/no/such/page")).status_code == 404


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(log_body)),
        ("deflate", zlib.compress(log_body)),
        ("zstd", zstandard.compress(log_body)),
        ("identity", log_body),
    ],
)
async def test_every_coding_is_undone(coding: str, body: bytes) -> None:
    async with intake_and_client() as (intake, client):
        response = await client.post("/api/v2/logs", content=body, headers={"Content-Encoding": coding})
        assert response.status_code == 202
        (request,) = intake.store.requests()
        assert (request.wire_bytes, request.decoded_bytes, request.encoding) == (len(body), len(log_body), coding)
        assert intake.store.logs()[0].message == "hello"


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/api/v2/logs", b"{", {}, 400),
        ("/api/v2/logs", log_body, {"Content-Encoding": "gzip"}, 400),
        ("/api/v2/logs", log_body, {"Content-Encoding": "br"}, 400),
        ("/api/v2/series", b"[]", {}, 400),
        ("/api/beta/sketches", b"\x0a", {}, 400),
        ("/api/v0.2/traces", b"\x2a\xff", {}, 400),
        ("/api/v0.2/stats", b"\xc1", {}, 400),
        ("/api/v1/events", b"{", {}, 400),
        ("/api/v2/logs", zstandard.compress(b" " * (5 * (1 << 20) + 1)), {"Content-Encoding": "zstd"}, 413),
        ("/api/v2/logs", msgspec.json.encode([{}] * 1001), {}, 413),
        ("/api/v2/series", b" " * 512_001, {}, 413),
        ("/api/v2/series", gzip.compress(b" " * 5_242_881), {"Content-Encoding": "gzip"}, 413),
        ("/api/beta/sketches", b" " * 2_621_441, {}, 413),
        ("/api/beta/sketches", gzip.compress(b" " * 4_194_305), {"Content-Encoding": "gzip"}, 413),
        ("/api/v0.2/traces", b" " * 15_000_001, {}, 413),
    ],
)
async def test_what_datadog_refuses_is_refused_and_not_kept(
    path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with intake_and_client() as (intake, client):
        response = await client.post(path, content=body, headers=headers)
        assert response.status_code == status
        assert response.json()["errors"]
        (request,) = intake.store.requests()
        assert (request.accepted, request.status, request.items, request.wire_bytes) == (False, status, 0, len(body))
        assert request.error
        assert intake.store.totals().refused == 1


async def test_pass_through_kinds_are_kept_even_with_a_broken_coding() -> None:
    async with intake_and_client() as (intake, client):
        response = await client.post("/api/v2/profile", content=b"not gzip", headers={"Content-Encoding": "gzip"})
        assert response.status_code == 202
        assert intake.store.raw()[0].body == b"not gzip"


async def test_a_missing_key_is_refused_as_datadog_does() -> None:
    async with intake_and_client() as (intake, client):
        del client.headers["DD-API-KEY"]
        assert (await client.post("/api/v2/logs", content=log_body)).status_code == 401
        assert (await client.post("/api/v2/series", content=series_body)).status_code == 403
        assert (await client.post("/api/v2/series?api_key=x", content=series_body)).status_code == 202
        intake.script.require_key = False
        assert (await client.post("/api/v2/logs", content=log_body)).status_code == 202


async def test_a_refused_key_is_answered_403_until_it_is_taken_back() -> None:
    async with intake_and_client(script={"logs": [503]}) as (intake, client):
        intake.script.refused_keys.add(key)
        assert (await client.post("/api/v2/logs", content=log_body)).status_code == 403
        assert (await client.get("/api/v1/validate")).status_code == 403
        other = await client.post("/api/v2/logs", content=log_body, headers={"DD-API-KEY": "another"})
        assert other.status_code == 503
        intake.script.refused_keys.clear()
        assert (await client.post("/api/v2/logs", content=log_body)).status_code == 202


async def test_no_key_is_ever_kept(tmp_path: Any) -> None:
    path = tmp_path / "intake.db"
    async with intake_and_client(db=str(path)) as (intake, client):
        await client.post("/api/v2/logs", content=log_body, headers={"Authorization": f"Bearer {key}"})
        await client.post(f"/api/v2/logs?api_key={key}&ddtags=a", content=log_body)
        await client.post(f"/v1/input/{key}", content=log_body)
        await client.post("/intake/", content=msgspec.json.encode({"apiKey": key}))
        requests = intake.store.requests()
        assert {request.key_end for request in requests} == {"cdef"}
        assert len({request.key_id for request in requests}) == 1
        assert requests[1].query == "api_key=%2A%2A%2A&ddtags=a"
        assert requests[2].path == "/v1/input/***"
        everything = (await client.get("/ddx/requests")).text + (await client.get("/ddx/raw")).text
        assert key not in everything
    assert key.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


async def test_tracers_can_be_pointed_here_without_an_agent() -> None:
    async with intake_and_client() as (intake, client):
        del client.headers["DD-API-KEY"]
        assert "/v0.4/traces" in (await client.get("/info")).json()["endpoints"]
        body = msgspec.msgpack.encode([[{"name": "x", "trace_id": 1, "span_id": 2}]])
        response = await client.put("/v0.4/traces", content=body, headers={"Datadog-Meta-Lang": "python"})
        assert response.json() == {"rate_by_service": {"service:,env:": 1}}
        assert intake.store.spans(name="x")[0].payload.language == "python"
        words_and_traces: list[Any] = [["", "y"], [[[0, 1, 0, 1, 2, 0, 1, 1, 0, {}, {}, 0]]]]
        await client.put("/v0.5/traces", content=msgspec.msgpack.encode(words_and_traces))
        assert intake.store.spans(name="y")
        await client.post("/v0.6/stats", content=b"\x80")
        await client.post("/evp_proxy/v2/api/v2/llmobs", content=b"[]")
        assert intake.store.totals().raw == {"evp": 1}
        assert intake.store.totals().refused == 0


async def test_spans_can_be_counted_without_being_kept() -> None:
    async with intake_and_client(keep_spans=False) as (intake, client):
        await client.post("/api/v0.2/traces", content=trace_body)
        await client.put("/v0.4/traces", content=msgspec.msgpack.encode([[{}]]))
        totals = intake.store.totals()
        assert (totals.spans, totals.not_kept, intake.store.spans()) == (3, 3, [])


async def send(client: httpx.AsyncClient) -> str:
    """One log request: its status, or the name of what went wrong."""
    try:
        response = await client.post("/api/v2/logs", content=log_body)
    except httpx.HTTPError as error:
        return type(error).__name__
    return str(response.status_code)


@pytest.mark.parametrize(
    ("answer", "outcomes", "kept"),
    [
        (503, {"503"}, False),
        (202, {"202"}, True),
        (200, {"200"}, True),
        ({"slow": 0.01}, {"202"}, True),
        ("reset", {"ReadError"}, False),
        ("reset_after_read", {"ReadError"}, True),
        ("close", {"RemoteProtocolError"}, False),
        ("garbage", {"RemoteProtocolError"}, False),
        ("truncated", {"RemoteProtocolError"}, True),
    ],
    ids=str,
)
async def test_each_scripted_answer_once_and_then_normal(answer: Any, outcomes: set[str], kept: bool) -> None:
    async with intake_and_client(script={"logs": [answer]}) as (intake, client):
        assert await send(client) in outcomes
        assert len(intake.store.logs()) == kept
        assert intake.store.requests()[0].accepted is kept
        assert await send(client) == "202"
        assert len(intake.store.logs()) == kept + 1


async def test_429_carries_retry_after_and_a_body_of_ones_own() -> None:
    async with intake_and_client(script=[{"status": 429, "retry_after": 7, "body": "slow down"}]) as (_, client):
        response = await client.post("/api/v2/series", content=series_body)
        assert (response.status_code, response.headers["Retry-After"], response.text) == (429, "7", "slow down")


async def test_hang_never_answers_and_holds_nobody_else_up() -> None:
    async with intake_and_client(script={"logs": [hang]}) as (intake, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, client)
            await intake.wait_for(lambda store: store.requests(accepted=False))
            assert await send(client) == "202"
            nursery.cancel_scope.cancel()
        assert [request.status for request in intake.store.requests()] == [None, 202]


async def test_slow_takes_the_data_before_it_answers() -> None:
    async with intake_and_client(script={"logs": [slow(3600)]}) as (intake, client), trio.open_nursery() as nursery:
        nursery.start_soon(send, client)
        logs = await intake.wait_for(lambda store: store.logs(contains="hello"))
        assert logs[0].message == "hello"
        nursery.cancel_scope.cancel()


async def test_down_refuses_connections_and_up_takes_them_on_the_same_port() -> None:
    async with intake_and_client() as (intake, client):
        assert await send(client) == "202"
        for _ in range(2):
            await intake.down()
            assert await send(client) == "ConnectError"
            await intake.down()
            await intake.up()
            assert await send(client) == "202"
            await intake.up()
        assert len(intake.store.logs()) == 3


async def test_down_ends_requests_in_flight() -> None:
    outcome: list[str] = []
    async with intake_and_client(script=["hang"]) as (intake, client):

        async def hung() -> None:
            outcome.append(await send(client))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hung)
            await intake.wait_for(lambda store: store.requests())
            await intake.down()
    assert outcome[0] in ("ReadError", "RemoteProtocolError")


async def test_the_script_can_be_set_over_http() -> None:
    async with intake_and_client() as (_, client):
        response = await client.put("/ddx/script", json={"answers": {"logs": [503]}, "refused_keys": ["k"]})
        assert response.json() == {"left": {"logs": ["503"]}, "refused_keys": 1, "require_key": True, "down": False}
        assert await send(client) == "503"
        await client.put("/ddx/script", json={"down": True})
        assert await send(client) == "ReadError"
        assert (await client.get("/ddx/script")).json()["down"] is True
        await client.put("/ddx/script", json={"down": False})
        assert await send(client) == "202"
        bad = await client.put("/ddx/script", json={"answers": {"log": [503]}})
        assert bad.status_code == 400
        assert "log" in bad.json()["errors"][0]


async def test_down_for_a_while_ends_by_itself() -> None:
    async with intake_and_client() as (intake, client):
        await client.put("/ddx/script", json={"down_s": 0.05, "refuse_s": 0.2})
        outcomes: set[str] = set()
        while "ConnectError" not in outcomes or await trio.to_thread.run_sync(send_alone, intake.url) != "202":
            outcomes.add(await trio.to_thread.run_sync(send_alone, intake.url))
        assert intake.script.resetting is False


def send_alone(url: str) -> str:
    """As `send`, over a connection of its own; without async generators, which a connection that breaks leaves open."""
    try:
        response = httpx.post(
            url + "/api/v2/logs",
            content=log_body,
            headers={"DD-API-KEY": key},
            trust_env=False,
            verify=no_authorities(),
        )
    except httpx.HTTPError as error:
        return type(error).__name__
    return str(response.status_code)


async def test_queries_over_http() -> None:
    async with intake_and_client() as (_, client):
        for path, body, headers, *_ in accepted:
            await client.post(path, content=body, headers=headers)
        assert [log["message"] for log in (await client.get("/ddx/logs?contains=hel&service=s&limit=1")).json()] == [
            "hello"
        ]
        assert (await client.get("/ddx/logs")).json()[0]["raw"] == {"message": "hello", "service": "s"}
        assert len((await client.get("/ddx/metrics?name=m&type=distribution")).json()) == 2
        (span,) = (await client.get("/ddx/spans?name=x&trace_id=0x0")).json()
        assert span["span_id_hex"] == "0" * 16
        assert span["trace_id_hex"] == "0" * 32
        assert (await client.get("/ddx/stats?name=x")).json()[0]["hits"] == 3
        assert [
            each["kind"] for each in (await client.get("/ddx/requests?kind=traces&accepted=true&after=1")).json()
        ] == ["traces"]
        assert (await client.get("/ddx/raw?kind=profile")).json()[0]["path"] == "/api/v2/profile"
        assert (await client.get("/ddx/totals")).json()["logs"] == 3
        assert (await client.get("/ddx/repeats")).json()[0]["what"] == "payload"
        assert (await client.request("DELETE", "/ddx")).json()["requests"] == 0
        assert (await client.get("/ddx/logs")).json() == []


@pytest.mark.parametrize(
    "query", ["logs?name=x", "logs?limit=-1", "spans?trace_id=zz", "requests?accepted=1", "requests?after=" + "9" * 60]
)
async def test_a_query_that_makes_no_sense_is_told_so(query: str) -> None:
    async with intake_and_client() as (_, client):
        response = await client.get(f"/ddx/{query}")
        assert response.status_code == 400
        assert "expected" in response.text or "no parameter" in response.text


async def test_the_page_is_one_file_that_runs_nothing_from_elsewhere() -> None:
    async with intake_and_client() as (_, client):
        response = await client.get("/")
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "://" not in response.text
        assert "innerHTML" not in response.text


garbage_sent = (
    b"\x00\xff" * 500,
    b"GET\r\n\r\n",
    b"POST /api/v2/logs HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"A" * 200_000,
)


async def test_garbage_on_the_port_hurts_nobody() -> None:
    async with intake_and_client() as (intake, client):
        for garbage in garbage_sent:
            stream = await trio.open_tcp_stream("127.0.0.1", intake.port)
            async with stream:
                with trio.move_on_after(5):
                    try:
                        await stream.send_all(garbage)
                        await stream.send_eof()
                        while await stream.receive_some():
                            pass
                    except trio.BrokenResourceError:
                        pass
        assert await send(client) == "202"


async def test_each_request_is_announced_once_it_is_in_the_store() -> None:
    seen: list[tuple[ReceivedRequest, int]] = []
    intake_of: list[Intake] = []

    def note(request: ReceivedRequest) -> None:
        seen.append((request, len(intake_of[0].store.logs())))

    async with intake_and_client(on_request=note) as (intake, client):
        intake_of.append(intake)
        await send(client)
        assert [(request.kind, logs) for request, logs in seen] == [("logs", 1)]


many_spans = encoded(
    "AgentPayload",
    {"tracerPayloads": [{"chunks": [{"spans": [{"name": "x", "spanID": number} for number in range(1, 3001)]}]}]},
)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Spans are read only while this is set."""
    may_read = threading.Event()

    def decode(body: bytes, *, request: int) -> list[Span]:
        assert may_read.wait(10)
        return decode_traces(body, request=request)

    monkeypatch.setattr(reception, "decode_traces", decode)
    return may_read


async def test_a_large_body_is_answered_before_it_is_read_and_nobody_who_asks_misses_it(
    reading: threading.Event,
) -> None:
    announced: list[tuple[str, int]] = []

    def note(request: ReceivedRequest) -> None:
        announced.append((request.kind, request.items))

    async with intake_and_client(on_request=note) as (intake, client):
        response = await client.post("/api/v0.2/traces", content=many_spans, headers=protobuf_type)
        assert response.status_code == 200
        assert await send(client) == "202"
        assert not announced
        reading.set()
        assert len(intake.store.spans()) == 3000
        assert intake.store.totals().logs == 1
        await intake.wait_for(lambda _: len(announced) == 2)
        assert announced == [("traces", 3000), ("logs", 1)]


async def test_who_waits_or_asks_over_http_waits_for_what_is_being_read_and_nobody_else_does(
    reading: threading.Event,
) -> None:
    spans: list[int] = []
    async with intake_and_client() as (intake, client), trio.open_nursery() as nursery:

        async def wait() -> None:
            spans.append(await intake.wait_for(lambda store: store.totals().spans))

        async def ask() -> None:
            spans.append((await client.get("/ddx/totals")).json()["spans"])

        await client.post("/api/v0.2/traces", content=many_spans, headers=protobuf_type)
        nursery.start_soon(wait)
        nursery.start_soon(ask)
        for _ in range(3):
            assert await send(client) == "202"
        assert not spans
        reading.set()
    assert spans == [3000, 3000]


async def test_a_large_body_that_cannot_be_read_is_told_of_though_it_was_answered() -> None:
    async with intake_and_client() as (intake, client):
        response = await client.post("/api/v0.2/traces", content=many_spans[:-1], headers=protobuf_type)
        assert response.status_code == 200
        (record,) = intake.store.requests()
        assert (record.status, record.accepted, record.items) == (200, False, 0)
        assert record.error is not None
        assert record.error.startswith("found after the answer")
        assert intake.store.totals().refused == 1


async def test_a_large_body_that_breaks_the_reading_does_not_end_the_intake(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(body: bytes, *, request: int) -> list[Span]:
        raise OverflowError

    monkeypatch.setattr(reception, "decode_traces", decode)
    async with intake_and_client() as (intake, client):
        await client.post("/api/v0.2/traces", content=many_spans, headers=protobuf_type)
        assert not intake.store.spans()
        assert await send(client) == "202"


async def test_answers_wait_when_too_much_has_yet_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_most_late_bytes", 0)
    async with intake_and_client() as (intake, client):
        await client.post("/api/v0.2/traces", content=many_spans, headers=protobuf_type)
        assert intake.store.late.is_empty


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_intake():
            raise ZeroDivisionError
    with trio.CancelScope() as scope:
        async with open_intake():
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_port_in_use_is_an_oserror() -> None:
    async with open_intake() as intake:
        with pytest.raises(OSError, match="is held by pid"):
            async with open_intake(port=intake.port):
                pass


async def test_a_script_object_can_be_shared_and_changed() -> None:
    script = Script()
    async with intake_and_client(script=script) as (_, client):
        script.add("logs", 503)
        assert await send(client) == "503"


def test_the_intake_shares_no_code_with_what_sends() -> None:
    script = "import sys, ddx_agent.local.intake; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    senders = ("google.protobuf", "ddx_core.proto", "ddx_core.intake", "ddx_logs", "ddx_metrics", "ddx_traces")
    assert not [name for name in loaded if name.startswith(senders)]
