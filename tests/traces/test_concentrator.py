"""The concentrator beside a naive model, its limits, and clocks that jump."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.proto.ddsketch_pb2 import DDSketch
from ddx_core.stats import Account
from ddx_traces.span import Span, Tracer, TracerPayload
from ddx_traces.stats import ClientStats, StatsGroup
from ddx_traces.stats import concentrator as concentrator_module
from ddx_traces.stats.concentrator import Concentrator, bucket_ns
from ddx_traces.stats.counting import blocked_value, is_counted, read_key
from ddx_traces.stats.sketch import Sketch

from .support import now, span

s = 1_000_000_000
opening = now // bucket_ns * bucket_ns
"""When the bucket of `now` began."""


class Bench:
    def __init__(self, **fields: Any) -> None:
        self.now = now
        self.account = Account("stats")
        self.concentrator = Concentrator(self.account, lambda: self.now, **fields)

    def add(self, *spans: Span, payload: TracerPayload | None = None) -> None:
        self.concentrator.add(spans, payload or TracerPayload())
        assert self.account.snapshot().closes
        assert self.account.snapshot().held.items == len(self.concentrator)

    def take(self, *, everything: bool = True, max_bytes: int = 1 << 20) -> list[ClientStats]:
        found: list[ClientStats] = []
        while (taken := self.concentrator.take(everything=everything, max_bytes=max_bytes)) is not None:
            stats, groups = taken
            assert groups == stats.groups > 0
            self.account.deliver(groups, 0)
            assert self.account.snapshot().closes
            found.append(stats)
        return found

    def groups(self, *, everything: bool = True) -> list[StatsGroup]:
        return [group for stats in self.take(everything=everything) for bucket in stats.stats for group in bucket.stats]

    def starts(self, *, everything: bool = True) -> dict[int, int]:
        """Hits by the start of their bucket."""
        hits: dict[int, int] = defaultdict(int)
        for stats in self.take(everything=everything):
            for bucket in stats.stats:
                hits[bucket.start] += sum(group.hits for group in bucket.stats)
        return dict(hits)


def entry(**fields: Any) -> Span:
    """A span that counts."""
    return span(
        **{"metrics": {"_top_level": 1.0}, "service": "fake-intake-trace-service", "name": "web.request", **fields}
    )


def ending(end_ns: int, **fields: Any) -> Span:
    return entry(start=end_ns - 1000, duration=1000, **fields)


def test_spans_of_a_kind_are_one_group() -> None:
    bench = Bench()
    bench.add(entry(duration=1_000_000), entry(duration=2_000_000), entry(duration=3_000_000, error=1))
    (group,) = bench.groups()
    assert (group.hits, group.errors, group.top_level_hits, group.duration) == (3, 1, 3, 6_000_000)
    ok, errors = DDSketch.FromString(group.ok_summary), DDSketch.FromString(group.error_summary)
    assert (ok.positiveValues.contiguousBinIndexOffset, sum(ok.positiveValues.contiguousBinCounts)) == (2229, 2)
    assert sum(errors.positiveValues.contiguousBinCounts) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"resource": "GET /a"}, {"resource": "GET /b"}),
        ({"meta": {"span.kind": "server"}}, {"meta": {"span.kind": "internal"}}),
        ({"meta": {"http.status_code": "200"}}, {"meta": {"http.status_code": "500"}}),
        ({"service": "a"}, {"service": "b"}),
        ({"name": "a"}, {"name": "b"}),
        ({"type": "a"}, {"type": "b"}),
        ({"parent_id": 0}, {"parent_id": 1}),
        ({"meta": {"http.method": "GET"}}, {"meta": {"http.endpoint": "GET"}}),
        ({"meta": {"grpc.code": "1"}}, {"metrics": {"_top_level": 1.0, "grpc.code": 2.0}}),
        ({"meta": {"_dd.origin": "synthetics"}}, {}),
        ({"meta": {"span.kind": "client", "db.name": "a"}}, {"meta": {"span.kind": "client", "db.name": "b"}}),
        ({"meta": {"span.kind": "Producer", "out.host": "a"}}, {"meta": {"span.kind": "Producer", "out.host": "b"}}),
        ({"meta": {"span.kind": "CLIENT", "out.host": "a"}}, {"meta": {"span.kind": "CLIENT", "out.host": "b"}}),
    ],
)
def test_spans_that_differ_in_what_counts_are_two_groups(first: dict[str, Any], second: dict[str, Any]) -> None:
    bench = Bench()
    bench.add(entry(**first), entry(**second), entry(**first))
    assert sorted(group.hits for group in bench.groups()) == [1, 2]


def test_spans_that_say_the_same_in_other_words_are_one_group() -> None:
    bench = Bench()
    bench.add(
        entry(meta={"http.route": "/x", "language": "python", "id": "1"}),
        entry(meta={"id": "2", "http.endpoint": "/x"}),
        entry(meta={"http.endpoint": "/x", "http.route": "/y"}),
    )
    (group,) = bench.groups()
    assert (group.hits, group.http_endpoint) == (3, "/x")


def test_calls_count_without_being_entries() -> None:
    bench = Bench()
    bench.add(
        span(parent_id=1, meta={"span.kind": "server"}),
        span(parent_id=1, meta={"span.kind": "client", "db.system": "postgres", "db.instance": "i-1234"}),
        span(parent_id=1),
    )
    by_kind = {group.span_kind: group for group in bench.groups()}
    assert (by_kind["server"].top_level_hits, by_kind["server"].is_trace_root) == (0, 2)
    assert by_kind["client"].peer_tags == ["db.instance:i-1234", "db.system:postgres"]


def test_snapshots_of_spans_that_run_do_not_count() -> None:
    bench = Bench()
    bench.add(entry(metrics={"_top_level": 1.0, "_dd.partial_version": 3.0}))
    assert bench.take() == []


def test_spans_that_stand_for_others_count_for_them() -> None:
    bench = Bench()
    half = {"_top_level": 1.0, "_sample_rate": 0.5}
    bench.add(entry(duration=100, metrics=half), entry(duration=100, metrics=half, error=1))
    for rate in (1.0, 0.0, -1.0, 2.0, float("nan")):
        bench.add(entry(duration=100, metrics={"_top_level": 1.0, "_sample_rate": rate}))
    (group,) = bench.groups()
    assert (group.hits, group.errors, group.top_level_hits, group.duration) == (9, 2, 9, 900)
    assert sum(DDSketch.FromString(group.ok_summary).positiveValues.contiguousBinCounts) == 7


def test_impossible_durations_do_not_spoil_a_group() -> None:
    bench = Bench()
    bench.add(*[entry(start=0, duration=2**63 - 1) for _ in range(3)], entry(start=now, duration=0))
    (group,) = bench.groups()
    assert (group.hits, group.duration) == (4, 2**64 - 1)
    assert DDSketch.FromString(group.ok_summary).zeroCount == 1


def test_each_sender_is_told_apart_and_the_settings_stand_in() -> None:
    bench = Bench(env="prod", version="7", service="Shop")
    told = TracerPayload(
        tracer=Tracer(language="go", version="1.2", container_id="c"), env="dev", app_version="8", runtime_id="r"
    )
    bench.add(entry(meta={"_dd.git.commit.sha": "abc"}), payload=TracerPayload())
    bench.add(entry(), payload=told)
    bench.add(entry(meta={"_dd.tags.process": "a:b"}), payload=told)
    found = {stats.lang: stats for stats in bench.take()}
    nobody = found[""]
    assert (nobody.env, nobody.version, nobody.service, nobody.git_commit_sha) == ("prod", "7", "shop", "abc")
    go = found["go"]
    assert (go.env, go.version, go.tracer_version, go.runtime_id, go.container_id, go.process_tags) == (
        "dev", "8", "1.2", "r", "c", "a:b",
    )  # fmt: skip
    assert go.stats[0].stats[0].hits == 2


def test_without_settings_the_environment_is_unknown() -> None:
    bench = Bench()
    bench.add(entry())
    assert bench.take()[0].env == "unknown-env"


# --- time --------------------------------------------------------------------------------------------------------------


def test_a_bucket_leaves_when_its_time_has_been_over_for_one_more() -> None:
    bench = Bench()
    bench.add(ending(opening + 1), ending(opening - 1))
    assert bench.starts(everything=False) == {}
    bench.now = opening + 10 * s
    assert bench.starts(everything=False) == {opening - bucket_ns: 1}
    bench.now = opening + 20 * s - 1
    assert bench.starts(everything=False) == {}
    bench.now = opening + 20 * s
    assert bench.starts(everything=False) == {opening: 1}


def test_everything_takes_open_buckets_and_what_comes_later_is_told_besides() -> None:
    bench = Bench()
    bench.add(ending(opening + 1))
    assert bench.starts() == {opening: 1}
    bench.add(ending(opening + 2))
    assert bench.starts() == {opening: 1}


def test_late_spans_count_in_the_oldest_bucket_that_is_still_taken() -> None:
    bench = Bench()
    bench.add(ending(opening - 500 * s), ending(opening - bucket_ns + 5), ending(opening + 5))
    assert bench.starts() == {opening - bucket_ns: 2, opening: 1}


def test_spans_of_the_future_count_now() -> None:
    bench = Bench()
    bench.add(ending(opening + 10**18), ending(opening + 5))
    assert bench.starts() == {opening: 2}


def test_what_was_kept_over_a_long_freeze_is_shifted() -> None:
    bench = Bench()
    bench.add(ending(opening + 5))
    bench.now = opening + 1800 * s
    bench.add(ending(opening + 1800 * s))
    bench.now = opening + 4000 * s
    first, second = bench.take(everything=False)
    assert [(each.stats[0].start, each.stats[0].agent_time_shift) for each in (first, second)] == [
        (opening + 4000 * s, 4000 * s),
        (opening + 1800 * s, 0),
    ]


def test_a_clock_that_was_put_back_holds_nothing_up() -> None:
    bench = Bench()
    bench.now = now + 10**18
    bench.add(ending(bench.now))
    bench.now = now
    bench.add(ending(now))
    first, second = bench.take()
    assert (first.stats[0].start, first.stats[0].agent_time_shift) == (opening, -(10**18))
    assert (second.stats[0].start, second.stats[0].agent_time_shift) == (opening, 0)
    bench.add(ending(now - bucket_ns))
    assert bench.starts() == {opening - bucket_ns: 1}


def test_a_bucket_of_the_future_leaves_at_once() -> None:
    bench = Bench()
    bench.now = now + 10**18
    bench.add(ending(bench.now))
    bench.now = now
    assert sum(bench.starts(everything=False).values()) == 1


# --- limits ------------------------------------------------------------------------------------------------------------


def test_beyond_the_limit_of_keys_spans_count_as_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concentrator_module, "max_keys", 10)
    bench = Bench()
    for number in range(30):
        bench.add(entry(resource=f"r{number}"), entry(resource=f"r{number}", meta={"http.status_code": "200"}))
    groups = {(group.resource, group.http_status_code): group for group in bench.groups()}
    assert len(groups) == 11
    blocked = groups[blocked_value, 0]
    assert blocked.hits == 50
    assert {
        blocked.service, blocked.name, blocked.type, blocked.span_kind, blocked.http_method, blocked.http_endpoint,
        blocked.grpc_status_code, blocked.service_source,
    } == {blocked_value}  # fmt: skip
    # The limit is of one bucket.
    bench.add(entry(resource="r20"))
    assert [group.resource for group in bench.groups()] == ["r20"]


def test_memory_is_bounded_whatever_keys_come() -> None:
    bench = Bench(max_bytes=200_000)
    for number in range(3000):
        bench.add(entry(resource=str(number) * 300), entry(resource=f"r{number}", duration=1 + number**3))
        # The group of what is blocked may have as many bins as there are.
        assert bench.account.snapshot().held.bytes < 600_000
    assert bench.concentrator.is_filling
    assert sum(group.hits for group in bench.groups()) == 6000
    assert bench.account.snapshot().held.bytes == 0
    assert not bench.concentrator.is_filling


def test_memory_is_bounded_when_known_groups_grow() -> None:
    bench = Bench(max_bytes=100_000)
    for number in range(400):
        bench.add(*[entry(resource=f"r{key}", duration=round(1.016**number) + key) for key in range(30)])
        assert bench.account.snapshot().held.bytes < 400_000
    assert sum(group.hits for group in bench.groups()) == 12_000


def test_senders_without_end_are_counted_with_others() -> None:
    bench = Bench()
    for number in range(1000):
        bench.add(entry(), payload=TracerPayload(runtime_id=f"r{number}"))
    found = bench.take()
    assert len(found) <= concentrator_module.max_gatherings
    assert sum(group.hits for stats in found for group in stats.stats[0].stats) == 1000


def test_large_buckets_are_taken_in_pieces() -> None:
    bench = Bench()
    bench.add(*[entry(resource=f"r{number}") for number in range(100)])
    pieces = bench.take(max_bytes=1000)
    assert len(pieces) > 5
    assert sorted(group.resource for each in pieces for group in each.stats[0].stats) == sorted(
        f"r{number}" for number in range(100)
    )


def test_a_group_taken_while_more_is_left_begins_anew() -> None:
    bench = Bench()
    bench.add(entry(resource="a"), entry(resource="b"))
    taken = bench.concentrator.take(everything=True, max_bytes=1)
    assert taken is not None
    bench.account.deliver(1, 0)
    bench.add(entry(resource="a"), entry(resource="b"))
    assert sorted((group.resource, group.hits) for group in bench.groups()) == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("count", [1, 511, 512, 513, 3000])
def test_durations_are_counted_however_many_have_gathered(count: int) -> None:
    bench = Bench()
    bench.add(*[entry(duration=number) for number in range(count)])
    (group,) = bench.groups()
    expected = Sketch()
    expected.insert(list(range(count)))
    assert (group.hits, group.duration, group.ok_summary) == (count, sum(range(count)), expected.encode())


# --- the model ---------------------------------------------------------------------------------------------------------

texts = st.sampled_from(["", "a", "b"])
spans = st.builds(
    span,
    service=texts,
    name=texts,
    resource=texts,
    type=texts,
    parent_id=st.integers(0, 1),
    error=st.integers(-1, 1),
    start=st.sampled_from([opening - 90 * s, opening - 5 * s, opening, opening + 5 * s]),
    duration=st.integers(0, 10**10),
    meta=st.dictionaries(
        st.sampled_from(["span.kind", "http.status_code", "db.name", "out.host", "_dd.base_service", "x", "grpc.code"]),
        st.sampled_from(["", "client", "server", "CLIENT", "200", "10.0.0.1"]),
        max_size=4,
    ),
    metrics=st.dictionaries(
        st.sampled_from(["_top_level", "_dd.measured", "_dd.partial_version", "http.status_code"]),
        st.sampled_from([0.0, 1.0, -1.0]),
        max_size=3,
    ),
)
chunks = st.lists(st.tuples(st.lists(spans, max_size=5), st.sampled_from(["", "python", "go"])), max_size=12)


@settings(max_examples=40)
@given(chunks, st.sampled_from([2, 512]), st.sampled_from([1, 10_000]))
def test_sums_and_sketches_are_those_of_a_naive_model(
    sent: list[tuple[list[Span], str]], fold_at: int, max_bytes: int
) -> None:
    bench = Bench()
    model: dict[Any, list[Span]] = defaultdict(list)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concentrator_module, "most_waiting_in_group", fold_at)
        for trace, language in sent:
            bench.add(*trace, payload=TracerPayload(tracer=Tracer(language=language)))
            for each in trace:
                if is_counted(each):
                    start = (each.start + each.duration) // bucket_ns * bucket_ns
                    model[language, min(max(start, opening - bucket_ns), opening), read_key(each)].append(each)
    found: dict[Any, StatsGroup] = {}
    for stats in bench.take(max_bytes=max_bytes):
        (bucket,) = stats.stats
        for group in bucket.stats:
            key = (
                group.service, group.name, group.resource, group.type, group.span_kind, group.http_status_code,
                group.grpc_status_code, group.http_method, group.http_endpoint, group.service_source, group.synthetics,
                group.is_trace_root, tuple(group.peer_tags),
            )  # fmt: skip
            found[stats.lang, bucket.start, key] = group
    assert found.keys() == model.keys()
    for key, members in model.items():
        group = found[key]
        ok, errors = Sketch(), Sketch()
        ok.insert([each.duration for each in members if not each.error])
        errors.insert([each.duration for each in members if each.error])
        top = [each for each in members if each.metrics.get("_top_level") == 1]
        assert (group.hits, group.duration) == (len(members), sum(each.duration for each in members))
        assert (group.errors, group.top_level_hits) == (sum(bool(each.error) for each in members), len(top))
        assert (group.ok_summary, group.error_summary) == (ok.encode(), errors.encode())
