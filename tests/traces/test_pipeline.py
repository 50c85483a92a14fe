"""Flushing: what is arriving, what is held, what is in trouble; cancelled at every step. Nothing is lost unsaid."""

from __future__ import annotations

import msgspec
import pytest
import trio

from ddx_core import log
from ddx_core.http import open_tcp_listener
from ddx_core.pipeline import FlushKind
from ddx_core.tags import TagSet
from ddx_traces.pipeline import TracesSettings
from ddx_traces.span import Span, TracerPayload
from tests.support.builders import taken_from
from tests.support.cancel import cancel_at_every_step

from .support import HttpClient, Rig, request_bytes, span, v04, wire_trace
from .test_routes import serving
from .test_stats_payload import client_stats


def add(rig: Rig, first: int, count: int = 1) -> None:
    """`count` traces of two spans each."""
    for trace_id in range(first, first + count):
        rig.pipeline.add_chunks(
            [[span(trace_id=trace_id, span_id=1), span(trace_id=trace_id, span_id=2)]], TracerPayload()
        )
        rig.check()


small = TracesSettings(max_payload_bytes=600)
"""Two or three spans fill a payload."""


async def test_spans_that_come_another_way_are_processed_like_the_others() -> None:
    rig = Rig()
    rig.pipeline.add_chunks([[span(), span()], [span(span_id=0)]], TracerPayload(env="prod"), size=1000)
    rig.check()
    snapshot = rig.account.snapshot()
    assert (snapshot.accepted.items, snapshot.accepted.bytes, snapshot.held.items) == (3, 1000, 1)
    rig.pipeline.add_chunks([], TracerPayload())
    rig.pipeline.set_tags(TagSet([("later", "1")]))
    rig.pipeline.add_chunks([[span(span_id=9)]], TracerPayload(env="prod"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [each["meta"].get("later") for each in rig.intake.spans] == [None, "1"]
    assert rig.pipeline.has_room()


async def test_accounts_are_the_spans_then_the_statistics_each_with_its_endpoints() -> None:
    rig = Rig(endpoints=("primary", "second"))
    assert rig.pipeline.name == "traces"
    assert [account.name for account in rig.pipeline.accounts] == ["traces", "traces@second", "stats", "stats@second"]
    add(rig, 1, 3)
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    assert [account.snapshot().delivered.items for account in rig.pipeline.accounts] == [6, 6, 0, 0]


async def test_flush_without_anything_sends_nothing() -> None:
    rig = Rig()
    for kind in FlushKind:
        await rig.pipeline.flush(kind)
    assert rig.intake.payloads == []


async def test_pipeline_without_listeners_serves_what_is_added() -> None:
    rig = Rig(small)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        add(rig, 1, 10)
        await rig.pipeline.flush(FlushKind.BLOCKING)
        assert len(rig.intake.spans) == 20
        nursery.cancel_scope.cancel()


async def test_full_payloads_do_not_wait_for_a_flush() -> None:
    rig = Rig(small)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        add(rig, 1, 20)
        await trio.testing.wait_all_tasks_blocked()
        rig.check()
        assert rig.delivered > 30
        assert rig.held < 6
        nursery.cancel_scope.cancel()


async def test_buffer_smaller_than_a_payload_is_sent_before_it_is_full() -> None:
    rig = Rig(TracesSettings(max_buffer_bytes=2000))
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        for number in range(1, 200):
            add(rig, number)
            await trio.testing.wait_all_tasks_blocked()
            assert rig.pipeline.has_room()
        assert rig.delivered > 300
        nursery.cancel_scope.cancel()


async def test_full_payloads_that_found_no_room_follow_when_there_is_some() -> None:
    rig = Rig(small, outbox_bytes=2000)
    add(rig, 1, 10)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.delivered >= 16
        nursery.cancel_scope.cancel()


async def test_flush_returns_only_when_full_payloads_sent_before_it_have_arrived() -> None:
    rig = Rig(small)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        add(rig, 1, 20)
        while not rig.intake.payloads:
            await trio.lowlevel.checkpoint()
        await rig.pipeline.flush(FlushKind.BLOCKING)
        assert (rig.delivered, rig.held) == (40, 0)
        nursery.cancel_scope.cancel()


async def test_flush_takes_in_a_request_that_is_half_here() -> None:
    async with serving() as rig:
        client = await rig.client()
        whole = request_bytes("PUT", "/v0.4/traces", v04(wire_trace(1, 50)))
        await client.stream.send_all(whole[:1000])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.pipeline.flush, FlushKind.BLOCKING)
            await client.stream.send_all(whole[1000:])
        assert len(rig.intake.spans) == 50
        assert (await client.read_answer()).status == 200


async def test_flush_takes_in_what_only_lies_in_the_sockets() -> None:
    async with serving() as rig:
        for trace_id in range(1, 4):
            # Neither accepted nor read when the flush begins.
            stream = (await rig.client()).stream
            await stream.send_all(request_bytes("PUT", "/v0.4/traces", v04(wire_trace(trace_id, 2))))
        await rig.pipeline.flush(FlushKind.BLOCKING)
        assert len(rig.intake.spans) == 6


async def test_flush_does_not_wait_for_a_request_that_never_ends() -> None:
    async with serving() as rig:
        client = await rig.client()
        await client.stream.send_all(request_bytes("PUT", "/v0.4/traces", v04(wire_trace(1)))[:-1])
        add(rig, 5)
        # The server itself would wait for the body for many seconds more.
        with trio.fail_after(5):
            await rig.pipeline.flush(FlushKind.BLOCKING)
        assert rig.delivered == 2


async def test_flush_ends_although_requests_keep_coming() -> None:
    async with serving() as rig:

        async def keep_sending() -> None:
            client = await rig.client()
            for trace_id in range(1, 100_000):
                await client.ask("PUT", "/v0.4/traces", v04(wire_trace(trace_id)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_sending)
            while not rig.held:
                await trio.lowlevel.checkpoint()
            for _ in range(5):
                await rig.pipeline.flush(FlushKind.BLOCKING)
            assert len(rig.intake.payloads) <= 5
            nursery.cancel_scope.cancel()


async def test_outage_keeps_everything_that_fits_in_full_payloads_and_delivers_it_once() -> None:
    rig = Rig(TracesSettings(max_payload_bytes=6000))
    rig.intake.is_down = True
    for invocation in range(50):
        add(rig, 1 + invocation * 2, 2)
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
    assert (rig.held, rig.account.snapshot().dropped) == (200, {})
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    await rig.pipeline.flush(FlushKind.FINAL)
    assert len({(each["traceID"], each["spanID"]) for each in rig.intake.spans}) == rig.delivered == 200
    # Not one payload for each of the fifty flushes.
    assert len(rig.intake.payloads) < 25


async def test_last_flush_packs_everything_even_when_the_intake_is_down() -> None:
    rig = Rig(small)
    rig.intake.is_down = True
    for number in range(5):
        add(rig, 1 + number)
        await rig.pipeline.flush(FlushKind.BLOCKING)
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    # So that it can be taken off the queue for the next life of the sandbox.
    assert sum(payload.items for payload in taken_from(rig.fanout.primary)) == 10


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_payloads_that_are_refused_are_counted(status: int) -> None:
    rig = Rig()
    rig.intake.answers = [status]
    add(rig, 1)
    await rig.pipeline.flush(FlushKind.BLOCKING)
    rig.check()
    assert rig.dropped(f"refused_{status}") == 2


async def test_what_is_too_large_for_the_intake_goes_again_in_halves() -> None:
    rig = Rig()
    rig.intake.answers = [413, 202, 413]
    add(rig, 1)
    await rig.pipeline.flush(FlushKind.BLOCKING)
    rig.check()
    assert (rig.delivered, rig.dropped("refused_413")) == (1, 1)
    assert len(rig.intake.spans) == 1


async def test_trouble_of_spans_is_not_that_of_statistics() -> None:
    async with serving() as rig:
        client = await rig.client()
        await client.ask("PUT", "/v0.6/stats", msgspec.msgpack.encode(client_stats))
        await client.ask("PUT", "/v0.4/traces", v04(wire_trace(1)))
        rig.intake.down_paths = {"/api/v0.2/traces"}
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
        assert rig.stats_account.snapshot().delivered.items == 2
        assert (rig.held, rig.delivered) == (1, 0)


async def test_flush_cancelled_at_any_step_loses_nothing_and_repeats_nothing() -> None:
    rig = Rig()

    async def operation() -> None:
        nonlocal rig
        rig = Rig(small)
        add(rig, 1, 5)
        await rig.pipeline.flush(FlushKind.BLOCKING)

    async def check(completed: bool) -> None:
        rig.check()
        assert rig.delivered + rig.held == 10
        assert not completed or rig.held == 0
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        assert len({(each["traceID"], each["spanID"]) for each in rig.intake.spans}) == len(rig.intake.spans) == 10

    assert await cancel_at_every_step(operation, check) > 5


async def test_flush_cancelled_at_any_step_while_the_intake_recovers_loses_nothing() -> None:
    rig = Rig()

    async def operation() -> None:
        nonlocal rig
        rig = Rig(small)
        rig.intake.answers = [503, 503, 202]
        add(rig, 1, 4)
        for kind in (FlushKind.BLOCKING, FlushKind.BACKGROUND, FlushKind.FINAL):
            await rig.pipeline.flush(kind)

    async def check(completed: bool) -> None:
        rig.check()
        rig.intake.answers.clear()
        await rig.pipeline.flush(FlushKind.FINAL)
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        assert len({(each["traceID"], each["spanID"]) for each in rig.intake.spans}) == rig.delivered == 8

    await cancel_at_every_step(operation, check)


async def test_serving_cancelled_at_any_step_keeps_what_it_has_taken() -> None:
    rig = Rig()

    async def operation() -> None:
        nonlocal rig
        listener = await open_tcp_listener("127.0.0.1", 0)
        rig = Rig(small, listeners=[listener])
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.pipeline.serve)
            client = await HttpClient.connect(listener.socket.getsockname()[1])
            async with client.stream:
                # Longer than one slice of work, so that the handler pauses in the middle.
                await client.ask("PUT", "/v0.4/traces", v04(*[wire_trace(trace_id, 20) for trace_id in range(1, 15)]))
            nursery.cancel_scope.cancel()

    async def check(completed: bool) -> None:
        rig.check()
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        spans = rig.intake.spans
        assert len({(each["traceID"], each["spanID"]) for each in spans}) == len(spans) == rig.delivered
        assert not completed or len(spans) == 280

    await cancel_at_every_step(operation, check)


async def test_losses_are_told_once_at_the_next_flush(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "repeat_after_s", 0.0)
    rig = Rig()
    rig.pipeline.add_chunks([[span(span_id=0), span(span_id=1), span(span_id=1)]], TracerPayload())
    for _ in range(2):
        await rig.pipeline.flush(FlushKind.BLOCKING)
    # What was dropped on purpose, the duplicate here, is counted and not told.
    assert [record.getMessage() for record in caplog.records] == ["spans_dropped about=malformed spans=1"]


class Defective:
    """An observer that fails on one trace."""

    def on_chunk(self, spans: list[Span], payload: TracerPayload) -> list[Span]:
        if spans and spans[0].trace_id == 2:
            raise KeyError("a defect")
        return spans


async def test_defect_in_a_request_costs_that_trace_and_the_server_goes_on() -> None:
    async with serving(observers=[Defective()]) as rig:
        client = await rig.client()
        assert (await client.ask("PUT", "/v0.4/traces", v04(wire_trace(1), wire_trace(2)))).status == 500
        rig.check()
        assert (rig.held, rig.dropped("failed")) == (1, 1)
        assert (await client.ask("PUT", "/v0.4/traces", v04(wire_trace(3)))).status == 200
