"""Tracers that flood while the intake is down: bounded, told to come back later, and nothing that was taken is lost."""

from __future__ import annotations

import trio

from ddx_core.pipeline import FlushKind
from ddx_traces.pipeline import TracesSettings

from .support import v04, wire_trace
from .test_routes import serving

tracers = 4
outbox_bytes = 200_000
settings = TracesSettings(max_buffer_bytes=300_000, max_payload_bytes=100_000)


async def test_a_flood_while_the_intake_is_down_is_bounded_and_what_was_taken_arrives() -> None:
    async with serving(settings, outbox_bytes=outbox_bytes) as rig:
        rig.intake.is_down = True
        statuses: list[int] = []
        spans = 0

        async def flood(tracer: int) -> None:
            nonlocal spans
            client = await rig.client()
            for number in range(60):
                trace_id = tracer * 1000 + number + 1
                body = v04(wire_trace(trace_id, 20, meta={"filler": "x" * 500}))
                answer = await client.ask("POST", "/v0.4/traces", body)
                statuses.append(answer.status)
                spans += 20 if answer.status == 200 else 0
                held = rig.account.snapshot().held
                # One request above the mark may be under way for each tracer.
                assert held.bytes < settings.max_buffer_bytes + outbox_bytes + tracers * len(body) * 2
                rig.check()

        async with trio.open_nursery() as nursery:
            for tracer in range(tracers):
                nursery.start_soon(flood, tracer)
            for _ in range(5):
                await rig.pipeline.flush(FlushKind.BACKGROUND)
        assert set(statuses) == {200, 429}
        rig.intake.is_down = False
        await rig.pipeline.flush(FlushKind.BACKGROUND)
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        snapshot = rig.account.snapshot()
        assert (snapshot.delivered.items, snapshot.held.items, snapshot.dropped) == (spans, 0, {})
        client = await rig.client()
        assert (await client.ask("POST", "/v0.4/traces", v04(wire_trace(99_999)))).status == 200


async def test_the_last_flush_pushes_nothing_out_of_the_queue_whether_the_intake_answers_or_not() -> None:
    for is_down in (False, True):
        async with serving(settings, outbox_bytes=outbox_bytes) as rig:
            rig.intake.is_down = True
            client = await rig.client()
            spans = 0
            for number in range(40):
                body = v04(wire_trace(number + 1, 20, meta={"filler": "x" * 500}))
                answer = await client.ask("POST", "/v0.4/traces", body)
                spans += 20 if answer.status == 200 else 0
            rig.intake.is_down = is_down
            await rig.pipeline.flush(FlushKind.FINAL)
            rig.check()
            snapshot = rig.account.snapshot()
            assert len(rig.pipeline._store) == 0  # pyright: ignore[reportPrivateUsage] (all of it is packed: for the spool)
            assert (snapshot.delivered.items, snapshot.held.items) == ((0, spans) if is_down else (spans, 0))
            assert snapshot.dropped == {}
