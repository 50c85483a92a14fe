"""Statistics that the agent computes, through the whole pipeline: of everything, before sampling; nothing lost on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from ddx_core.pipeline import FlushKind
from ddx_core.proto.ddsketch_pb2 import DDSketch
from ddx_traces.settings import TracesSettings
from ddx_traces.span import Span, Tracer, TracerPayload
from tests.support.cancel import cancel_at_every_step

from .support import Rig, body_of, span, v04, wire_trace
from .test_routes import serving

computing = TracesSettings(computes_stats=True, env="prod")
tracer_counts = TracerPayload(tracer=Tracer(computed_stats=True))


def entry(trace_id: int, priority: float | None = None, **fields: Any) -> Span:
    metrics = {} if priority is None else {"_sampling_priority_v1": priority}
    return span(**{"trace_id": trace_id, "metrics": metrics, **fields})


def groups(rig: Rig) -> list[dict[str, Any]]:
    return [
        group
        for payload in rig.intake.stats
        for stats in msgspec.msgpack.decode(body_of(payload))["Stats"]
        for bucket in stats["Stats"]
        for group in bucket["Stats"]
    ]


def hits(rig: Rig) -> int:
    return sum(group["Hits"] for group in groups(rig))


async def test_spans_are_counted_before_sampling_leaves_any_out() -> None:
    rig = Rig(computing)
    for number, priority in enumerate([-1.0, 0.0, 1.0, 2.0, None], 1):
        rig.pipeline.add_chunks([[entry(number, priority)]], TracerPayload())
        rig.check()
    await rig.pipeline.flush(FlushKind.BLOCKING)
    rig.check()
    assert [each["traceID"] for each in rig.intake.spans] == [3, 4, 5]
    assert rig.dropped("not_sampled") == 2
    (group,) = groups(rig)
    assert (group["Hits"], group["TopLevelHits"], group["IsTraceRoot"]) == (5, 5, 1)
    assert sum(DDSketch.FromString(group["OkSummary"]).positiveValues.contiguousBinCounts) == 5
    assert all("_dd.compute_stats" not in each["meta"] for each in rig.intake.spans)


async def test_all_left_out_sends_no_traces_and_counts_them_all_the_same() -> None:
    rig = Rig(computing)
    rig.pipeline.add_chunks([[entry(1, 0.0)], [entry(2, -1.0)]], TracerPayload())
    await rig.pipeline.flush(FlushKind.FINAL)
    assert (rig.intake.traces, hits(rig)) == ([], 2)


async def test_spans_chosen_by_a_rule_of_their_own_are_kept() -> None:
    rig = Rig(computing)
    chosen = entry(1, 0.0, span_id=7, metrics={"_sampling_priority_v1": 0.0, "_dd.span_sampling.mechanism": 8.0})
    rig.pipeline.add_chunks([[entry(1, 0.0, span_id=3), chosen]], TracerPayload())
    await rig.pipeline.flush(FlushKind.FINAL)
    assert [each["spanID"] for each in rig.intake.spans] == [7]
    assert rig.dropped("not_sampled") == 1


async def test_who_computes_is_as_documented() -> None:
    for computes, payload, counted, asked in (
        (False, TracerPayload(), 0, "1"),
        (False, tracer_counts, 0, None),
        (True, TracerPayload(), 1, None),
        (True, tracer_counts, 0, None),
    ):
        rig = Rig(TracesSettings(computes_stats=computes))
        rig.pipeline.add_chunks([[entry(1)]], payload)
        await rig.pipeline.flush(FlushKind.FINAL)
        assert hits(rig) == counted
        assert [each["meta"].get("_dd.compute_stats") for each in rig.intake.spans] == [asked]


async def test_nothing_is_left_out_unless_it_is_counted_here() -> None:
    rig = Rig()
    rig.pipeline.add_chunks([[entry(1, 0.0)]], TracerPayload())
    await rig.pipeline.flush(FlushKind.FINAL)
    assert len(rig.intake.spans) == 1


async def test_repeats_and_the_agents_own_calls_are_not_counted() -> None:
    rig = Rig(computing)
    for _ in range(2):
        rig.pipeline.add_chunks([[entry(1), entry(1, span_id=9, name="dns.lookup")]], TracerPayload())
    await rig.pipeline.flush(FlushKind.FINAL)
    assert hits(rig) == 1


async def test_open_buckets_stay_only_when_another_flush_is_sure_to_come() -> None:
    for kind, expected in ((FlushKind.BACKGROUND, 0), (FlushKind.BLOCKING, 1), (FlushKind.FINAL, 1)):
        rig = Rig(computing)
        rig.pipeline.add_chunks([[entry(1)]], TracerPayload())
        await rig.pipeline.flush(kind)
        rig.check()
        assert (hits(rig), rig.stats_account.snapshot().held.items) == (expected, 1 - expected)


async def test_statistics_go_to_every_endpoint() -> None:
    rig = Rig(computing, endpoints=("primary", "second"))
    rig.pipeline.add_chunks([[entry(1)]], TracerPayload())
    await rig.pipeline.flush(FlushKind.FINAL)
    assert len(rig.intake.stats) == 2


async def test_requests_of_tracers_are_counted_and_posted_statistics_go_beside() -> None:
    async with serving(settings=computing) as rig:
        client = await rig.client()
        await client.ask("PUT", "/v0.4/traces", v04(wire_trace(1, 3), wire_trace(2, 2)))
        await client.ask("PUT", "/v0.4/traces", v04(wire_trace(3)), {"Datadog-Client-Computed-Stats": "yes"})
        await client.ask(
            "PUT",
            "/v0.6/stats",
            msgspec.msgpack.encode({"Stats": [{"Start": 1, "Duration": 2, "Stats": [{"Hits": 10}]}]}),
        )
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        assert hits(rig) == 15


async def test_many_groups_do_not_wait_for_a_flush() -> None:
    rig = Rig(TracesSettings(computes_stats=True, max_counted_bytes=50_000))
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        for number in range(1, 300):
            rig.pipeline.add_chunks([[entry(number, resource=f"r{number}")]], TracerPayload())
            await trio.testing.wait_all_tasks_blocked()
            rig.check()
        nursery.cancel_scope.cancel()
    await rig.pipeline.flush(FlushKind.FINAL)
    assert sorted(group["Resource"] for group in groups(rig)) == sorted(f"r{number}" for number in range(1, 300))


async def test_an_outage_costs_no_count() -> None:
    rig = Rig(computing)
    rig.intake.is_down = True
    for number in range(1, 40):
        rig.pipeline.add_chunks([[entry(number)]], TracerPayload())
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
    # While nobody answers, groups grow where they are instead of becoming a payload each.
    assert rig.stats_account.snapshot().held.items < 10
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.FINAL)
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    assert hits(rig) == 39


async def test_a_flush_cancelled_at_any_step_loses_no_group() -> None:
    rig = Rig()

    async def operation() -> None:
        nonlocal rig
        rig = Rig(computing)
        for number in range(1, 6):
            payload = TracerPayload(runtime_id=f"r{number}")
            rig.pipeline.add_chunks([[entry(number, float(number % 2))]], payload)
        await rig.pipeline.flush(FlushKind.BLOCKING)

    async def check(completed: bool) -> None:
        rig.check()
        snapshot = rig.stats_account.snapshot()
        assert snapshot.delivered.items + snapshot.held.items == 5
        assert not completed or snapshot.held.items == 0
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        assert (hits(rig), len(groups(rig))) == (5, 5)

    assert await cancel_at_every_step(operation, check) > 5


async def test_a_defect_in_packing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(computing)
    rig.pipeline.add_chunks([[entry(1)]], TracerPayload())

    def fail(*_: object, **__: object) -> bytes:
        raise KeyError("a defect")

    monkeypatch.setattr("ddx_traces.stats.store.encode_stats_payload", fail)
    with pytest.raises(KeyError):
        rig.pipeline._stats.pack_counted(everything=True)  # pyright: ignore[reportPrivateUsage]
    rig.check()
    assert rig.stats_account.dropped("failed").items == 1
