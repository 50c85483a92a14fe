"""The metrics pipeline: what clients send arrives at the intake, whatever flushes, limits and cancellations come between."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from datadog.dogstatsd.base import DogStatsd

from ddx_agent.local.intake import Metric
from ddx_core.intake import Coding
from ddx_core.pipeline import FlushKind, Pipeline, start_contained
from ddx_core.tags import TagSet
from ddx_metrics.dogstatsd.server import bind_dogstatsd
from ddx_metrics.sample import MetricType, Sample
from ddx_metrics.settings import MetricsSettings
from tests.support.builders import taken_from
from tests.support.cancel import cancel_at_every_step

from .support import Rig, noon_s


def by_name(metrics: list[Metric]) -> dict[str, Metric]:
    named = {metric.name: metric for metric in metrics}
    assert len(named) == len(metrics)
    return named


@contextmanager
def client_of(receiving: trio.socket.SocketType, **options: Any) -> Generator[DogStatsd]:
    client = DogStatsd(host="127.0.0.1", port=receiving.getsockname()[1], disable_telemetry=True, **options)
    try:
        yield client
    finally:
        client.flush()
        client.stop()
        client.close_socket()


async def test_what_the_datadog_client_sends_arrives() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        rig = Rig(sockets=[receiving], tags=[("env", "prod")])
        with client_of(receiving, constant_tags=["team:a"]) as client:
            for _ in range(3):
                client.increment("hits", tags=["route:x"])
            client.decrement("down", 5)
            client.gauge("load", 0.25)
            client.gauge("load", 0.75)
            client.distribution("latency", 10, tags=["b:2", "a:1"])
            client.distribution("latency", 20, tags=["a:1", "b:2"])
            client.histogram("sizes", 4)
            client.timing("took", 12.5)
            client.set("users", "ann")
            client.set("users", "bob")
            client.set("users", "ann")
            client.count_with_timestamp("then", 7, timestamp=noon_s - 60)
            client.event("title", "text", tags=["x:y"])
            client.service_check("check", 0)
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
    got = by_name(rig.delivered)
    assert (got["hits"].type, got["hits"].value, got["hits"].tags) == ("count", 3, ("env:prod", "route:x", "team:a"))
    assert (got["down"].type, got["down"].value) == ("count", -5)
    assert (got["load"].type, got["load"].value) == ("gauge", 0.75)
    assert (got["latency"].type, got["latency"].cnt, got["latency"].sum) == ("distribution", 2, 30)
    assert got["latency"].tags == ("a:1", "b:2", "env:prod", "team:a")
    assert {name for name in got if name.startswith("sizes.")} == {
        "sizes.max", "sizes.median", "sizes.avg", "sizes.count", "sizes.95percentile",
    }  # fmt: skip
    assert (got["took.max"].value, got["users"].value) == (12.5, 2)
    assert (got["then"].value, got["then"].timestamp_s) == (7, noon_s - 60)
    assert rig.dropped == {}
    assert {"/intake/", "/api/v1/check_run"} < {payload.path for payload in rig.intake.payloads}
    assert rig.account.snapshot().delivered.items == 16


async def test_sampled_and_buffered_clients_arrive_too() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        rig = Rig(sockets=[receiving])
        with client_of(receiving, disable_buffering=False) as client:
            for number in range(500):
                client.increment(f"m.{number % 10}", sample_rate=1)
                client.gauge("last", number)
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.pipeline.serve)
            await rig.pipeline.flush(FlushKind.FINAL)
            nursery.cancel_scope.cancel()
    got = by_name(rig.delivered)
    assert {got[f"m.{number}"].value for number in range(10)} == {50}
    assert got["last"].value == 499
    rig.check()


async def test_the_lambda_librarys_lines_arrive_with_their_own_time() -> None:
    rig = Rig()
    rig.take("my.test.metric:3|d", f"my.test.timestamp.metric:9|d|#a:b|T{noon_s - 35}")
    await rig.pipeline.flush(FlushKind.BLOCKING)
    got = by_name(rig.delivered)
    assert (got["my.test.metric"].timestamp_s, got["my.test.timestamp.metric"].timestamp_s) == (noon_s, noon_s - 40)


async def test_a_background_flush_leaves_the_open_bucket_alone() -> None:
    rig = Rig()
    rig.take("m:1|c")
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    assert rig.delivered == []
    assert rig.held == 1
    rig.clock.advance(10)
    rig.take("m:2|c")
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    assert [(metric.value, metric.timestamp_s) for metric in rig.delivered] == [(1, noon_s)]
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [(metric.value, metric.timestamp_s) for metric in rig.delivered] == [(1, noon_s), (2, noon_s + 10)]
    rig.check()
    assert rig.held == 0


async def test_a_sandbox_frozen_in_the_middle_of_a_bucket_keeps_its_times() -> None:
    rig = Rig()
    rig.take("m:1|c")
    rig.clock.advance(3600)
    rig.take("m:2|c")
    rig.clock.advance(-7200)  # and the clock may be set back
    rig.take("m:4|c")
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert sorted((metric.timestamp_s - noon_s, metric.value) for metric in rig.delivered) == [
        (-3600, 4), (0, 1), (3600, 2),
    ]  # fmt: skip


async def test_nothing_to_send_sends_nothing() -> None:
    rig = Rig()
    for kind in FlushKind:
        await rig.pipeline.flush(kind)
    assert rig.intake.payloads == []


async def test_samples_made_by_code_are_taken_or_counted() -> None:
    rig = Rig()
    rig.pipeline.add(
        [
            Sample(name="d", value=1.5, tags=("b:1", "a:1"), time_s=noon_s - 25),
            Sample(name="c", value=2, type=MetricType.COUNT, rate=0.5),
            Sample(name="s", value="x", type=MetricType.SET),
            Sample(name="future", value=1, type=MetricType.GAUGE, time_s=noon_s + 500),
            Sample(name="past", value=1, type=MetricType.GAUGE, time_s=-(10**30)),
            Sample(name="", value=1.0),
            Sample(name="text", value="x"),
            Sample(name="number", value=1.0, type=MetricType.SET),
            Sample(name="nan", value=float("nan")),
            Sample(name="tags", value=1.0, tags=tuple(f"t{number}" for number in range(101))),
        ]
    )
    rig.check()
    assert rig.dropped == {"malformed": 3, "not_finite": 1, "too_many_tags": 1}
    await rig.pipeline.flush(FlushKind.BLOCKING)
    got = by_name(rig.delivered)
    assert (got["d"].timestamp_s, got["d"].sum, got["d"].tags) == (noon_s - 30, 1.5, ("a:1", "b:1"))
    assert (got["c"].value, got["s"].value) == (4, 1)
    assert got["future"].timestamp_s == got["past"].timestamp_s == noon_s
    rig.check()


async def test_tags_learnt_later_are_on_everything_encoded_from_then_on() -> None:
    rig = Rig(tags=[("env", "e")])
    rig.take("m:1|c")
    rig.pipeline.set_tags(TagSet([("env", "e"), ("account_id", "1")]))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.delivered[0].tags == ("account_id:1", "env:e")


async def test_somebody_can_be_asked_before_a_metric_is_taken() -> None:
    rig = Rig()
    rig.pipeline.ask_before("aws.lambda.enhanced.errors", lambda: False)
    rig.take("aws.lambda.enhanced.errors:1|d", "m:1|c")
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [metric.name for metric in rig.delivered] == ["m"]
    assert rig.dropped == {"filtered": 1}


@pytest.mark.parametrize("kind", list(FlushKind))
async def test_a_flush_cancelled_at_any_step_loses_nothing(kind: FlushKind) -> None:
    rig = Rig(MetricsSettings(max_contexts=5000))
    sent = 0

    async def fill_and_flush() -> None:
        nonlocal rig, sent
        rig = Rig()
        rig.take(*(f"c{number}:1:2|c\nd{number}:1|d\ng{number}:1|g" for number in range(300)))
        rig.clock.advance(10)
        sent = 1200
        await rig.pipeline.flush(kind)

    async def check(completed: bool) -> None:
        rig.check()
        assert rig.dropped == {}
        if completed:
            assert rig.held == 0
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
        snapshot = rig.account.snapshot()
        assert snapshot.delivered.items == snapshot.accepted.items == sent
        assert snapshot.held.items == 0
        # Nothing twice, though a payload cut off in flight is sent again.
        delivered = [(metric.name, metric.timestamp_s) for metric in rig.delivered]
        assert len(set(delivered)) == len(delivered) == 900

    assert await cancel_at_every_step(fill_and_flush, check) > 3


async def test_a_last_flush_without_any_time_left_queues_everything() -> None:
    rig = Rig()
    rig.take(*(f"c{number}:1|c" for number in range(2000)))
    with trio.move_on_after(0):
        await rig.pipeline.flush(FlushKind.FINAL)
    with rig.fanout.primary._queue.lease() as entries:  # pyright: ignore[reportPrivateUsage] (what a spool would get)
        assert sum(entry.items for entry in entries) == 2000


async def test_encoding_lets_others_run() -> None:
    rig = Rig(MetricsSettings(max_contexts=20_000))
    rig.take("\n".join(f"m{number}:1|c|#some:tag,number:{number}" for number in range(10_000)))
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        await rig.pipeline.flush(FlushKind.BLOCKING)
        nursery.cancel_scope.cancel()
    assert turns > 10
    assert len(rig.delivered) == 10_000


async def test_closed_buckets_make_room_for_new_contexts_between_flushes() -> None:
    rig = Rig(MetricsSettings(max_contexts=100))
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        for turn in range(20):
            rig.take("\n".join(f"m{number}:1|c" for number in range(60)))
            rig.clock.advance(10)
            rig.take("beat:1|c")
            await trio.testing.wait_all_tasks_blocked()
            rig.check()
            assert rig.dropped == {}, turn
        nursery.cancel_scope.cancel()
    assert rig.intake.payloads == []  # encoded, not sent: sending is a flush's business
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert len(rig.delivered) == 20 * 61
    rig.check()


async def test_an_intake_that_is_down_keeps_everything_until_it_is_back() -> None:
    rig = Rig()
    rig.intake.is_down = True
    for _ in range(5):
        rig.take("m:1|c", "d:1|d")
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.clock.advance(10)
        rig.check()
    assert rig.held == 10
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    rig.check()
    assert rig.account.snapshot().delivered.items == 10
    assert len(rig.delivered) == 10


async def test_a_full_queue_drops_the_oldest_payloads_and_counts_their_samples() -> None:
    rig = Rig(queue_bytes=300, coding=Coding.IDENTITY)
    rig.intake.is_down = True
    for number in range(20):
        rig.take(f"m{number}:1:2:3|c")
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
        rig.clock.advance(10)
    assert rig.dropped["queue_full"] % 3 == 0
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    assert rig.delivered[-1].name == "m19"
    assert rig.account.snapshot().delivered.items == 60 - rig.dropped["queue_full"]


async def test_a_flood_of_contexts_is_bounded_and_counted() -> None:
    rig = Rig(MetricsSettings(max_contexts=500))
    for first in range(0, 5000, 100):
        rig.take(*(f"m:1|c|#unique:{number}" for number in range(first, first + 100)))
        rig.check()
        assert rig.held <= 500 + 1000  # in buckets, and of spellings that are still remembered
    await rig.pipeline.flush(FlushKind.BLOCKING)
    rig.check()
    assert len(rig.delivered) == 500
    assert rig.dropped == {"context_limit": 4500}


async def test_a_flood_on_the_socket_is_taken_while_the_pipeline_serves() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.connect(receiving.getsockname())
        rig = Rig(sockets=[receiving])
        async with trio.open_nursery() as nursery:
            await start_contained(nursery, rig.pipeline)
            for number in range(2000):
                sending.send(b"m:1|c\ng:%d|g\nbad" % number)
                if number % 100 == 0:
                    await trio.lowlevel.checkpoint()
            await rig.pipeline.flush(FlushKind.BLOCKING)
            nursery.cancel_scope.cancel()
        await rig.pipeline.flush(FlushKind.FINAL)
    accepted = rig.account.snapshot().accepted.items
    assert accepted % 3 == 0
    assert rig.dropped == {"malformed": accepted // 3}
    assert sum(metric.value or 0 for metric in rig.delivered if metric.name == "m") == accepted // 3
    rig.check()


def test_it_is_a_pipeline_with_its_accounts() -> None:
    rig = Rig()
    pipeline: Pipeline = rig.pipeline
    assert pipeline.name == "metrics"
    assert list(pipeline.accounts) == [rig.account]


def fat_metrics(rig: Rig, count: int) -> None:
    rig.pipeline.add(
        Sample(name=f"m{number}", value=1.0, type=MetricType.COUNT, tags=(f"t:{os.urandom(400).hex()}",))
        for number in range(count)
    )


@pytest.mark.parametrize("kind", FlushKind)
async def test_a_flush_of_more_than_the_queue_holds_loses_nothing_at_an_intake_that_answers(kind: FlushKind) -> None:
    rig = Rig(queue_bytes=800_000)
    fat_metrics(rig, 5_000)
    rig.clock.advance(20)
    await rig.pipeline.flush(kind)
    rig.check()
    assert rig.dropped == {}
    assert rig.account.snapshot().delivered.items == 5_000


async def test_the_last_flush_pushes_nothing_out_of_the_queue_though_the_intake_is_down() -> None:
    rig = Rig(queue_bytes=800_000)
    rig.intake.is_down = True
    fat_metrics(rig, 5_000)
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    assert rig.dropped == {}
    assert sum(payload.items for payload in taken_from(rig.fanout.primary)) == 5_000
