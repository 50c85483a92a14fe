"""Trouble on the way out: an intake that fails, flushes that are cancelled, outboxes that are full. Nothing is lost unsaid."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.events import LogLine, parse_telemetry
from ddx_core.http import Request, Response, Route, Routes, json, open_tcp_listener, serve_http
from ddx_core.intake import Coding, Compressor, Endpoint, IntakeClient, Payload, RetryPolicy, Sent, StaticKey
from ddx_core.lifecycle import TelemetryReceiver
from ddx_core.pipeline import FlushKind
from ddx_logs.durable import DurableContext
from ddx_logs.rules import Rule, RuleType
from ddx_logs.settings import LogsSettings
from tests.support.cancel import cancel_at_every_step

from .support import Rig, ScriptedIntake, decode, event, start


def lines(count: int, first: int = 0) -> list[LogLine]:
    return [LogLine(time_ns=10**18, text=f"line {number}") for number in range(first, first + count)]


async def test_flush_cancelled_at_any_step_loses_nothing_and_repeats_nothing() -> None:
    rig = Rig()

    async def operation() -> None:
        nonlocal rig
        rig = Rig(LogsSettings(max_batch_items=3))
        rig.observe(start(), *lines(9))
        await rig.pipeline.flush(FlushKind.BLOCKING)

    async def check(completed: bool) -> None:
        rig.check()
        assert rig.delivered + rig.held == 10
        if completed:
            assert rig.held == 0
        await rig.pipeline.flush(FlushKind.FINAL)
        assert [text for text, _ in rig.intake.lines if text.startswith("line")] != []
        assert sorted(text for text, _ in rig.intake.lines if text.startswith("line")) == [
            f"line {number}" for number in range(9)
        ]
        assert rig.delivered == 10
        rig.check()

    assert await cancel_at_every_step(operation, check) > 5


async def test_flush_cancelled_at_any_step_while_the_intake_recovers_loses_nothing() -> None:
    rig = Rig()

    async def operation() -> None:
        nonlocal rig
        rig = Rig(LogsSettings(max_batch_items=3))
        rig.intake.answers = [503, 503, 202]
        rig.observe(start(), *lines(9))
        for kind in (FlushKind.BLOCKING, FlushKind.BACKGROUND, FlushKind.FINAL):
            await rig.pipeline.flush(kind)

    async def check(completed: bool) -> None:
        rig.check()
        rig.intake.answers.clear()
        await rig.pipeline.flush(FlushKind.FINAL)
        await rig.pipeline.flush(FlushKind.FINAL)
        assert len(rig.intake.lines) == len(set(rig.intake.lines)) == rig.delivered == 10

    await cancel_at_every_step(operation, check)


async def test_flush_cancelled_at_any_step_with_lines_that_wait_loses_nothing() -> None:
    rig = Rig()

    async def operation() -> None:
        nonlocal rig
        masks = (Rule(RuleType.MASK_SEQUENCES, "digits", "[0-9]+", "#$0"),)
        rig = Rig(LogsSettings(max_batch_items=2, durable_invocations=1, rules=masks))
        rig.observe(event("platform.initStart", {"runtimeVersion": "python:3.13.DurableFunction.v1"}))
        rig.observe(start("a"), *lines(5))
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.pipeline.learn_execution("a", DurableContext(execution_id="e", execution_name="n"))
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.observe(start("b", "2033-01-01T00:00:00Z"))
        await rig.pipeline.flush(FlushKind.FINAL)

    async def check(completed: bool) -> None:
        rig.check()
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        assert rig.held == 0
        assert len(set(rig.intake.lines)) == len(rig.intake.lines) == rig.account.snapshot().accepted.items

    assert await cancel_at_every_step(operation, check) > 5


async def test_outage_of_any_length_keeps_everything_that_fits_and_delivers_it_once() -> None:
    rig = Rig()
    rig.intake.is_down = True
    rig.observe(start())
    for invocation in range(50):
        rig.observe(*lines(5, invocation * 5))
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
    assert rig.held == 251
    # While nobody answers, lines are kept for full batches: not fifty requests of five lines later on.
    assert rig.pipeline.statistics().buffered > 200
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    assert rig.held == 0
    texts = [text for text, _ in rig.intake.lines if text.startswith("line")]
    assert sorted(texts) == sorted(f"line {number}" for number in range(250))
    assert len(rig.intake.payloads) <= 4


async def test_outage_past_the_bounds_drops_the_oldest_and_says_how_many() -> None:
    rig = Rig(LogsSettings(max_bytes=20_000, max_batch_items=10), outbox_bytes=20_000)
    rig.intake.is_down = True
    rig.observe(start())
    for invocation in range(60):
        rig.observe(*lines(10, invocation * 10))
        await rig.pipeline.flush(FlushKind.BLOCKING)
        held = rig.account.snapshot().held
        assert held.bytes <= 40_000
    dropped = sum(amount.items for amount in rig.account.snapshot().dropped.values())
    assert dropped > 0
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.FINAL)
    assert rig.delivered == 601 - dropped == len(set(rig.intake.lines))
    assert rig.held == 0
    # The newest are among what is left.
    assert ("line 599", "test-request-id") in rig.intake.lines


async def test_backlog_larger_than_the_outbox_goes_out_in_one_flush() -> None:
    rig = Rig(LogsSettings(max_batch_items=2), outbox_bytes=2000)
    rig.observe(start(), *lines(99))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.delivered == 100
    assert rig.account.snapshot().dropped == {}


async def test_refused_payload_is_counted_and_the_next_ones_go_on() -> None:
    rig = Rig(LogsSettings(max_batch_items=5))
    rig.intake.answers = [400]
    rig.observe(start(), *lines(9))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.account.dropped("refused_400").items == 5
    assert rig.delivered == 5
    rig.check()


async def test_every_endpoint_gets_every_line_and_the_dead_one_holds_up_nobody() -> None:
    intakes = {"alive": ScriptedIntake(), "dead": ScriptedIntake()}
    intakes["dead"].is_down = True

    class ByEndpoint:
        carrier = None

        def wall_clock(self) -> int:
            return 0

        async def send(self, endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
            return await intakes[endpoint.name].send(endpoint, payload)

    endpoints = [Endpoint(name=name, base_url=f"http://{name}", key=StaticKey("k")) for name in intakes]
    rig = Rig(client=ByEndpoint(), endpoints=endpoints)
    for number in range(5):
        rig.observe(start(f"r{number}"))
        await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.delivered == 5
    _, dead = rig.pipeline.accounts
    assert dead.snapshot().held.items == 5
    intakes["dead"].is_down = False
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    assert sorted(intakes["dead"].lines) == sorted(intakes["alive"].lines)
    assert dead.snapshot().delivered.items == 5
    rig.check()


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["requestId", "metrics", "status", "level", "ddtags", "message"]), inner)
    ),
    max_leaves=8,
)
event_types = st.sampled_from(
    [
        "function",
        "extension",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
        "platform.initStart",
        "platform.fault",
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(event_types, json_values), max_size=12), st.booleans())
def test_any_json_value_as_a_record_is_delivered_or_left_out_but_never_fails(
    told: list[tuple[str, Any]], managed: bool
) -> None:
    rig = Rig(LogsSettings(managed_instances=managed))
    body = msgspec.json.encode([{"time": "2023-01-07T03:23:47Z", "type": kind, "record": it} for kind, it in told])
    rig.observe(*parse_telemetry(body).events)
    trio.run(rig.pipeline.flush, FlushKind.FINAL)
    accepted = rig.account.snapshot().accepted.items
    assert rig.delivered + rig.account.dropped("repeated_event").items == accepted
    assert "" not in {request_id for _, request_id in rig.intake.lines}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([202, 400, 401, 403, 404, 408, 413, 429, 500, 503]), max_size=12),
    st.sampled_from([FlushKind.BLOCKING, FlushKind.BACKGROUND]),
)
def test_whatever_an_intake_answers_in_whatever_order_each_line_ends_once(answers: list[int], kind: FlushKind) -> None:
    rig = Rig(LogsSettings(max_batch_items=4))

    async def main() -> None:
        rig.intake.answers = answers
        rig.observe(start(), *lines(9))
        for _ in range(3):
            await rig.pipeline.flush(kind)
            rig.check()
        rig.intake.answers = []
        await rig.pipeline.flush(FlushKind.FINAL)

    trio.run(main)
    rig.check()
    dropped = sum(amount.items for amount in rig.account.snapshot().dropped.values())
    assert rig.held == 0
    assert len(rig.intake.lines) == len(set(rig.intake.lines)) == rig.delivered == 10 - dropped


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"]", b"[", b",", b'{"time":"', b'"\xff"']), max_size=6))
def test_any_bytes_as_a_delivery_are_survived_and_cost_no_line_of_the_others(pieces: list[bytes]) -> None:
    rig = Rig()
    receiver = TelemetryReceiver(rig.pipeline.observe)
    event_json = b'{"time":"2023-01-07T03:23:47Z","type":"%b","record":%b}'
    receiver.take(b"[" + event_json % (b"platform.start", b'{"requestId":"r"}') + b"]")
    receiver.take(b"".join(pieces))
    receiver.take(b"[" + event_json % (b"function", b'"after"') + b"]")
    trio.run(rig.pipeline.flush, FlushKind.FINAL)
    assert {text for text, _ in rig.intake.lines} >= {"START RequestId: r Version: $LATEST", "after"}
    rig.check()


async def test_telemetry_that_stops_within_an_invocation_leaves_nothing_behind() -> None:
    """No END, no REPORT, and the next thing that is heard of is another sandbox life, or nothing at all."""
    rig = Rig()
    rig.observe(start("a", "2023-01-01T00:00:01Z"), event("function", "x", "2023-01-01T00:00:02Z"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines[-1] == ("x", "a")
    rig.observe(event("function", "y", "2023-01-01T00:00:03Z"), start("b", "2023-01-01T00:00:04Z"))
    rig.observe(event("function", "z", "2023-01-01T00:00:05Z"))
    await rig.pipeline.flush(FlushKind.FINAL)
    assert rig.intake.lines[-3:] == [("y", "a"), ("START RequestId: b Version: test-version", "b"), ("z", "b")]
    assert rig.held == 0


async def test_outage_of_a_whole_run_of_deliveries_stays_within_the_bounds_and_drains() -> None:
    """Deliveries over the telemetry listener while the intake is down and the pipeline serves; then everything held goes out."""
    settings = LogsSettings(max_bytes=60_000, max_batch_items=50)
    rig = Rig(settings, outbox_bytes=60_000)
    rig.intake.is_down = True
    receiver = TelemetryReceiver(rig.pipeline.observe)
    accepted = 0
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        rig.observe(start())
        for number in range(100):
            told = [
                {"time": "2023-01-07T03:23:47Z", "type": "function", "record": f"{number}.{line} {'x' * 100}"}
                for line in range(20)
            ]
            receiver.take(msgspec.json.encode(told))
            accepted += 20
            await trio.testing.wait_all_tasks_blocked()
            held = rig.account.snapshot().held
            assert held.bytes <= 120_000
            rig.check()
        nursery.cancel_scope.cancel()
    lost = sum(amount.items for amount in rig.account.snapshot().dropped.values())
    assert set(rig.account.snapshot().dropped) <= {"buffer_full", "queue_full"}
    assert 0 < lost < accepted
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.FINAL)
    assert rig.held == 0
    assert len(set(rig.intake.lines)) == len(rig.intake.lines) == rig.delivered == accepted + 1 - lost


async def test_flood_during_slow_sends_moves_on_to_the_outbox_instead_of_overflowing() -> None:
    """Between two steps of a send a delivery may come each time; what they bring must not wait for the send to end."""
    rig = Rig(LogsSettings(max_bytes=100_000, max_batch_items=100), compressor=Compressor(Coding.ZSTD))
    release = trio.Event()
    accept = rig.intake.send

    async def slow(endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
        await release.wait()
        return await accept(endpoint, payload)

    rig.intake.send = slow
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        rig.observe(start())
        for number in range(40):
            rig.observe(*lines(100, number * 100))
            await trio.testing.wait_all_tasks_blocked()
        assert rig.account.snapshot().dropped == {}
        release.set()
        await rig.pipeline.flush(FlushKind.BLOCKING)
        nursery.cancel_scope.cancel()
    assert rig.delivered == 4001


async def test_real_client_delivers_to_a_real_server_that_fails_first() -> None:
    received: list[Request] = []

    async def intake(request: Request) -> Response:
        received.append(request)
        return json({}, 202) if len(received) > 1 else json({"errors": []}, 503)

    routes = Routes([Route(("POST",), "/api/v2/logs", intake, max_body=8 << 20)])
    listener = await open_tcp_listener("127.0.0.1", 0)
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_http, [listener], routes)
        async with IntakeClient(policy=RetryPolicy(base_s=0.001)) as client:
            rig = Rig(
                client=client,
                endpoints=[Endpoint(name="local", base_url=f"http://127.0.0.1:{port}", key=StaticKey("my_test_key"))],
                compressor=Compressor(Coding.ZSTD),
            )
            rig.observe(start(), event("function", "hello"))
            with trio.fail_after(20):
                await rig.pipeline.flush(FlushKind.BLOCKING)
        nursery.cancel_scope.cancel()
    first, second = received
    assert first.body == second.body
    assert second.headers["dd-api-key"] == "my_test_key"
    assert second.headers["dd-protocol"] == "agent-json"
    assert second.headers["content-type"] == "application/json"
    assert second.headers["content-encoding"] == "zstd"
    payload = Payload(path="", content_type="", body=second.body, items=2, encoding="zstd")
    assert [item["message"]["message"] for item in decode(payload)][1] == "hello"
    assert rig.delivered == 2
    assert rig.held == 0
    rig.check()
