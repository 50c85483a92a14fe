"""Requests of one tracer for the same buckets, made one."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.proto.ddsketch_pb2 import DDSketch
from ddx_traces.stats import ClientStats, StatsBucket, StatsGroup
from ddx_traces.stats.merge import merge_stats
from ddx_traces.stats.sketch import Sketch
from tests.support.builders import taken_from

from .support import body_of, now
from .test_store import make_stats


def sketch(*durations: int) -> bytes:
    made = Sketch()
    made.insert(list(durations))
    return made.encode()


def group(*durations: int, errors: tuple[int, ...] = (), **fields: Any) -> StatsGroup:
    usual: dict[str, Any] = {
        "service": "web",
        "hits": len(durations) + len(errors),
        "errors": len(errors),
        "top_level_hits": len(durations),
        "duration": sum(durations) + sum(errors),
        "ok_summary": sketch(*durations),
        "error_summary": sketch(*errors),
    }
    return StatsGroup(**{**usual, **fields})


def stats(*groups: StatsGroup, start: int = now, **fields: Any) -> ClientStats:
    return ClientStats(
        lang="python", stats=[StatsBucket(start=start, duration=10_000_000_000, stats=list(groups))], **fields
    )


def test_groups_of_one_key_are_added_up() -> None:
    merged = merge_stats(
        [stats(group(1, 2, errors=(9,)), sequence=4), stats(group(5), group(7, resource="other"), sequence=3)]
    )
    (bucket,) = merged.stats
    assert merged.sequence == 4
    assert bucket.stats == [group(1, 2, 5, errors=(9,)), group(7, resource="other")]


def test_buckets_of_other_times_stay_apart() -> None:
    merged = merge_stats([stats(group(1)), stats(group(1), start=now + 1)])
    assert [bucket.start for bucket in merged.stats] == [now, now + 1]


def test_groups_that_cannot_be_added_up_stand_side_by_side() -> None:
    foreign = group(1, ok_summary=b"\xff")
    huge = group(1, hits=2**64 - 1)
    many = msgspec.structs.replace(group(1), errors=2**64 - 1)
    for odd in (foreign, huge, many):
        merged = merge_stats([stats(group(1, errors=(1,))), stats(odd)])
        assert len(merged.stats[0].stats) == 2
    merged = merge_stats([stats(foreign), stats(group(1)), stats(group(2))])
    assert [one.hits for one in merged.stats[0].stats] == [1, 2]


def one_of_four(key: str, kind: str, ok: list[int], bad: list[int]) -> StatsGroup:
    return group(*ok, errors=tuple(bad), resource=key, peer_tags=[kind])


keys = st.sampled_from(["a", "b"])
durations = st.lists(st.integers(0, 10**10), max_size=3)
groups = st.builds(one_of_four, key=keys, kind=keys, ok=durations, bad=durations)


def sums(listed: list[StatsGroup]) -> tuple[float, ...]:
    sketches = [DDSketch.FromString(each) for one in listed for each in (one.ok_summary, one.error_summary)]
    return (
        sum(each.hits for each in listed),
        sum(each.errors for each in listed),
        sum(each.duration for each in listed),
        sum(each.top_level_hits for each in listed),
        sum(sum(each.positiveValues.contiguousBinCounts) + each.zeroCount for each in sketches),
    )


@given(st.lists(st.lists(groups, max_size=4), min_size=1, max_size=5))
def test_merging_keeps_every_sum(requests: list[list[StatsGroup]]) -> None:
    before = sums([each for request in requests for each in request])
    merged = merge_stats([stats(*request) for request in requests])
    after = [each for bucket in merged.stats for each in bucket.stats]
    assert sums(after) == before
    assert len({(each.resource, tuple(each.peer_tags)) for each in after}) == len(after)


def sent(fanout: Any) -> list[dict[str, Any]]:
    return [
        each for payload in taken_from(fanout.primary) for each in msgspec.msgpack.decode(body_of(payload))["Stats"]
    ]


def test_the_store_merges_what_one_tracer_has_posted_for_one_bucket() -> None:
    store, _, fanout = make_stats()
    for number in range(3):
        assert store.add(stats(group(number + 1), runtime_id="r", sequence=number), 100)
    store.add(stats(group(1), runtime_id="other"), 100)
    store.add(stats(group(1), runtime_id="r", start=now - 10_000_000_000), 100)
    assert store.pack() == 5
    assert [
        (each["RuntimeID"], each["Sequence"], [one["Hits"] for one in each["Stats"][0]["Stats"]])
        for each in sent(fanout)
    ] == [("r", 2, [3]), ("other", 0, [1]), ("r", 0, [1])]


def test_groups_that_were_added_to_others_are_accounted_for_as_merged() -> None:
    store, account, fanout = make_stats()
    for _ in range(3):
        store.add(stats(group(1), group(2, resource="other"), runtime_id="r"), 100)
    store.add(stats(group(1), runtime_id="alone"), 100)
    store.pack()
    snapshot = account.snapshot()
    assert (snapshot.accepted.items, snapshot.held.items, snapshot.dropped["merged"].items) == (7, 3, 4)
    assert snapshot.closes
    (payload,) = taken_from(fanout.primary)
    decoded = msgspec.msgpack.decode(body_of(payload))["Stats"]
    assert payload.items == sum(len(bucket["Stats"]) for each in decoded for bucket in each["Stats"]) == 3


def hide_numbers(kind: str, resource: str) -> str:
    return re.sub("[0-9]+", "?", resource) if kind == "sql" else resource


def test_groups_of_one_request_that_become_equal_by_hiding_are_added_up() -> None:
    store, account, fanout = make_stats(obfuscate=hide_numbers)
    queries = [group(number, type="sql", resource=f"select {number}") for number in (1, 2, 3)]
    other = group(4, type="sql", resource="select 4", span_kind="client")
    assert store.add(stats(*queries, other, group(5, resource="GET /5"), group(6, resource="GET /5")), 100)
    snapshot = account.snapshot()
    assert (snapshot.accepted.items, snapshot.held.items, snapshot.dropped["merged"].items) == (6, 3, 3)
    assert snapshot.closes
    (each,) = sent_after_packing(store, fanout)
    found = [(one["Resource"], one["SpanKind"], one["Hits"], one["Duration"]) for one in each["Stats"][0]["Stats"]]
    assert found == [("select ?", "", 3, 6), ("select ?", "client", 1, 4), ("GET /5", "", 2, 11)]


@pytest.mark.parametrize("resources", [("select ?", "select 1"), ("select 1", "select ?")])
def test_a_group_that_becomes_equal_to_one_hidden_by_its_tracer_is_added_to_it(resources: tuple[str, str]) -> None:
    store, account, fanout = make_stats(obfuscate=hide_numbers)
    assert store.add(stats(*(group(1, type="sql", resource=each) for each in resources)), 100)
    assert account.snapshot().dropped["merged"].items == 1
    (each,) = sent_after_packing(store, fanout)
    assert [(one["Resource"], one["Hits"]) for one in each["Stats"][0]["Stats"]] == [("select ?", 2)]


def test_a_request_in_which_hiding_makes_nothing_equal_passes_as_it_came() -> None:
    store, account, fanout = make_stats(obfuscate=hide_numbers)
    same_query = [group(1, type="sql", resource="select 1", http_status_code=code) for code in (200, 500)]
    unhidden = [group(1, resource="GET /1"), group(1, resource="GET /1")]
    assert store.add(stats(*same_query, *unhidden), 100)
    (each,) = sent_after_packing(store, fanout)
    assert [one["Resource"] for one in each["Stats"][0]["Stats"]] == ["select ?", "select ?", "GET /1", "GET /1"]
    assert account.snapshot().dropped == {}


def test_a_refused_request_counts_nothing_as_merged() -> None:
    store, account, _ = make_stats(max_stats_buffer_bytes=10, obfuscate=hide_numbers)
    assert not store.add(stats(*(group(1, type="sql", resource=f"select {number}") for number in (1, 2))), 100)
    assert account.snapshot().dropped == {}


def test_what_is_too_much_to_merge_is_sent_as_it_came() -> None:
    store, account, fanout = make_stats()
    for number in range(2):
        store.add(stats(group(1, resource="r" * (200 << 10)), runtime_id="r", sequence=number), 100)
    store.pack()
    assert len(sent(fanout)) == 2
    assert account.snapshot().dropped == {}


def test_buckets_that_are_far_off_are_shifted_when_they_come() -> None:
    store, _, fanout = make_stats()
    hour = 3_600_000_000_000
    for start in (now - hour, now - hour - 1, 0, now + hour, 2**64 - 1):
        store.add(stats(group(1), start=start, runtime_id=str(start)), 100)
    shifts = [
        (each["Stats"][0]["Start"], each["Stats"][0]["AgentTimeShift"]) for each in sent_after_packing(store, fanout)
    ]
    assert shifts == [(now - hour, 0), (now, hour + 1), (now, now), (now, -hour), (now, -(2**63 - 1))]


def sent_after_packing(store: Any, fanout: Any) -> list[dict[str, Any]]:
    store.pack()
    return sent(fanout)
