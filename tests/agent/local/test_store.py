"""What arrived stays as it arrived: queries, totals, repeats, limits, files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ddx_agent.local.intake import (
    Log,
    Metric,
    Raw,
    ReceivedRequest,
    Sketch,
    Span,
    SpanEvent,
    SpanLink,
    StatsGroup,
    Store,
    StoreError,
    StoreLimits,
    TracePayload,
)
from ddx_agent.local.intake.sketches import empty_stats_sketch

most = (1 << 64) - 1


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


def put(store: Store, kind: str, items: Sequence[Any] = (), /, **changes: Any) -> ReceivedRequest:
    fields: dict[str, Any] = {
        "id": store.new_request_id(), "kind": kind, "arrived_s": 1.5, "method": "POST", "path": f"/{kind}", "query": "",
        "headers": {"content-encoding": "zstd"}, "wire_bytes": 10, "decoded_bytes": 20, "status": 202, "answer": "normal",
        "accepted": True, "items": len(items), "samples": len(items), "error": None, "key_id": "k", "key_end": None,
        "fingerprint": f"{kind} {store.last_request}",
    }  # fmt: skip
    record = ReceivedRequest(**{**fields, **changes})
    store.add(record, [msgspec.structs.replace(item, request=record.id) for item in items])
    return record


def log(message: str, **changes: Any) -> Log:
    fields: dict[str, Any] = {
        "request": 0, "message": message, "status": "info", "service": "s", "source": None, "hostname": None,
        "tags": ("a:b",), "timestamp_ms": 1, "request_id": "r", "arn": None,
        "raw": msgspec.Raw(msgspec.json.encode({"message": message})),
    }  # fmt: skip
    return Log(**{**fields, **changes})


def metric(name: str, **changes: Any) -> Metric:
    fields: dict[str, Any] = {"type": "count", "tags": (), "timestamp_s": 1, "value": 1.0, "sketch": None}
    return Metric(request=0, name=name, **{**fields, **changes})


def span(name: str, trace_id: int = 1, span_id: int = 1, **changes: Any) -> Span:
    fields: dict[str, Any] = {
        "request": 0, "payload": TracePayload(env="dev"), "chunk": 0, "priority": 1, "origin": "", "chunk_tags": {},
        "dropped_trace": False, "trace_id_high": 0, "parent_id": 0, "service": "s", "resource": "r", "type": "", "start_ns": 1,
        "duration_ns": 1, "error": 0, "meta": {"k": "v"}, "metrics": {"m": 0.1}, "meta_struct": {"b": b"\xff\x00"},
        "links": (SpanLink(trace_id=most, trace_id_high=1, span_id=2, attributes={}, tracestate="", flags=0),),
        "events": (SpanEvent(time_ns=most, name="e", attributes={"l": [1, "x"]}),),
    }  # fmt: skip
    return Span(name=name, trace_id=trace_id, span_id=span_id, **{**fields, **changes})


def group(name: str, hits: int) -> StatsGroup:
    return StatsGroup(
        request=0, agent_hostname="", agent_env="", agent_version="", client_computed=False, hostname="", env="", version="",
        payload_service="", language="", tracer_version="", runtime_id="", container_id="", tags=(), git_commit_sha="",
        process_tags="", sequence=0, start_ns=1, duration_ns=1, service="s", name=name, resource="r", type="",
        http_status_code=0, grpc_status_code="", http_method="", http_endpoint="", db_type="", span_kind="", peer_tags=(),
        is_trace_root=0, synthetics=False, service_source="", hits=hits, top_level_hits=0, errors=0, total_ns=1,
        ok=empty_stats_sketch, error=empty_stats_sketch,
    )  # fmt: skip


def test_logs_are_found_by_service_request_id_text_and_status(store: Store) -> None:
    put(store, "logs", [log("one", service="x"), log("two 100% _ done", request_id="q"), log("Two", status="error")])
    assert [each.message for each in store.logs()] == ["one", "two 100% _ done", "Two"]
    assert [each.message for each in store.logs(service="x")] == ["one"]
    assert [each.message for each in store.logs(request_id="q")] == ["two 100% _ done"]
    assert [each.message for each in store.logs(contains="two")] == ["two 100% _ done"]
    assert [each.message for each in store.logs(contains="0% _")] == ["two 100% _ done"]
    assert [each.message for each in store.logs(status="error", service="s")] == ["Two"]
    assert store.logs(contains="two", status="error") == []
    assert [each.message for each in store.logs(limit=2)] == ["two 100% _ done", "Two"]


def test_a_log_comes_back_as_it_was(store: Store) -> None:
    record = put(store, "logs", [log("one\x00two \U0001f600")])
    (found,) = store.logs()
    assert found.request == record.id
    assert (found.message, found.tags, found.timestamp_ms) == ("one\x00two \U0001f600", ("a:b",), 1)
    assert found.attributes == {"message": "one\x00two \U0001f600"}


def test_metrics_are_found_by_name_tag_and_type(store: Store) -> None:
    sketch = Sketch(cnt=2, sum=3.0, min=1.0, max=2.0, avg=1.5, bins=((1338, 1), (1383, 1)))
    points = [
        metric("a", tags=("env:dev", "team:x")),
        metric("b", type="distribution", value=None, sketch=sketch, tags=("env:prod",)),
    ]
    put(store, "series", points)
    assert [each.name for each in store.metrics()] == ["a", "b"]
    assert [each.name for each in store.metrics(name="b")] == ["b"]
    assert [each.name for each in store.metrics(tag="env:dev")] == ["a"]
    assert [each.name for each in store.metrics(tag="env:")] == ["a", "b"]
    assert store.metrics(tag="env") == []
    assert store.sketches()[0].sketch == sketch
    assert store.sketches(name="a") == []


def test_spans_come_back_exactly_and_are_found_by_ids_of_64_and_128_bits(store: Store) -> None:
    record = put(store, "traces", [span("x", trace_id=most, span_id=most), span("y", trace_id=5, service="t")])
    assert store.spans(trace_id=most) == [
        msgspec.structs.replace(span("x", trace_id=most, span_id=most), request=record.id)
    ]
    assert [each.name for each in store.spans(trace_id=7 << 64 | 5)] == ["y"]
    assert [each.name for each in store.spans(name="y", service="t", resource="r")] == ["y"]
    assert store.spans(trace_id=6) == []


def test_stats_and_raw_bodies_are_kept(store: Store) -> None:
    put(store, "stats", [group("a", 5), group("b", 1)])
    put(store, "profile", [Raw(request=0, kind="profile", path="/p", content_type="x/y", body=b'{"a":1}')])
    assert [each.hits for each in store.stats(name="a", service="s", resource="r")] == [5]
    (raw,) = store.raw(kind="profile", path="/p")
    assert (raw.content_type, raw.body, raw.json()) == ("x/y", b'{"a":1}', {"a": 1})
    assert store.raw(kind="other") == []


def test_requests_are_found_by_kind_and_outcome(store: Store) -> None:
    first = put(store, "logs", [log("one")])
    second = put(store, "series", accepted=False, status=503, error="scripted")
    assert store.requests() == [first, second]
    assert store.requests(kind="logs") == [first]
    assert store.requests(accepted=False) == [second]
    assert store.requests(after=first.id) == [second]
    assert first.encoding == "zstd"


def test_totals_count_what_was_accepted(store: Store) -> None:
    put(store, "logs", [log("one"), log("two")])
    put(store, "logs", accepted=False, items=0)
    put(store, "series", [metric("a")])
    put(store, "sketches", [metric("b", type="distribution")], samples=10)
    put(store, "distribution_points", [metric("b", type="distribution")], samples=3)
    put(store, "traces", [span("x")])
    put(store, "stats", [group("a", 5)], samples=5)
    put(store, "profile", [Raw(request=0, kind="profile", path="/p", content_type=None, body=b"")])
    put(store, "validate")
    totals = store.totals()
    assert (totals.requests, totals.refused, totals.logs, totals.series_points) == (9, 1, 2, 1)
    assert (totals.sketches, totals.sketch_samples) == (2, 13)
    assert (totals.spans, totals.stats_groups, totals.stats_hits) == (1, 1, 5)
    assert (totals.raw, totals.not_kept) == ({"profile": 1}, 0)


def test_clear_forgets_all_and_goes_on_with_the_ids(store: Store) -> None:
    before = put(store, "logs", [log("one")])
    store.clear()
    assert (store.logs(), store.requests(), store.totals().requests) == ([], [], 0)
    assert put(store, "logs", [log("one")]).id > before.id
    assert store.repeats() == []


def test_repeats_names_what_came_twice(store: Store) -> None:
    put(store, "logs", [log("twice"), log("once")], fingerprint="same")
    put(store, "logs", [log("twice")], fingerprint="same")
    put(store, "traces", [span("x", trace_id=most, span_id=2), span("x", trace_id=most, span_id=2)])
    payload, entry, repeated_span = store.repeats()
    assert (payload.what, payload.times, payload.requests) == ("payload", 2, (1, 2))
    assert (entry.what, entry.times, entry.requests, entry.example) == ("log", 2, (1, 2), "twice")
    assert (repeated_span.what, repeated_span.requests) == ("span", (3,))
    assert repeated_span.example == f"x {most:016x} {2:016x}"


def test_repeats_leaves_out_what_is_none(store: Store) -> None:
    put(store, "logs", [log("same line twice in a millisecond"), log("same line twice in a millisecond")])
    put(store, "logs", [log("shipped to two keys")], fingerprint="f", key_id="k1")
    put(store, "logs", [log("shipped to two keys")], fingerprint="f", key_id="k2")
    put(store, "logs", fingerprint="empty")
    put(store, "logs", fingerprint="empty")
    put(
        store,
        "traces",
        [span("x", span_id=1), span("x", span_id=2), span("x", trace_id=2)],
    )
    assert store.repeats() == []


def test_past_the_limit_of_rows_items_are_only_counted() -> None:
    store = Store(limits=StoreLimits(rows=3))
    put(store, "logs", [log("1"), log("2")])
    put(store, "logs", [log("3"), log("4")])
    put(store, "traces", [span("x")])
    assert [each.message for each in store.logs()] == ["1", "2", "3"]
    totals = store.totals()
    assert (totals.logs, totals.spans, totals.not_kept) == (4, 1, 1)
    store.clear()
    put(store, "logs", [log("5")])
    assert len(store.logs()) == 1
    store.close()


def test_past_the_limit_of_bytes_raw_bodies_are_only_counted() -> None:
    store = Store(limits=StoreLimits(raw_bytes=10))
    for _ in range(2):
        put(store, "profile", [Raw(request=0, kind="profile", path="/p", content_type=None, body=b"8 bytes.")])
    assert len(store.raw()) == 1
    assert (store.totals().raw, store.totals().not_kept) == ({"profile": 2}, 1)
    store.close()


def test_items_that_were_only_counted_are_in_the_totals(store: Store) -> None:
    put(store, "traces", items=400_000)
    assert (store.totals().spans, store.totals().not_kept) == (400_000, 400_000)


def test_a_failed_request_leaves_nothing_behind(store: Store) -> None:
    broken = metric("b", timestamp_s=1 << 70)
    with pytest.raises(OverflowError):
        put(store, "series", [metric("a"), broken])
    assert (store.metrics(), store.requests()) == ([], [])
    put(store, "series", [metric("a")])
    assert len(store.metrics()) == 1


def test_what_was_put_off_is_done_in_order_before_anything_is_told(store: Store) -> None:
    for name in ("a", "b"):
        store.late.put_off(partial(put, store, "logs", [log(name)]), 10)
    assert (store.late.is_empty, store.late.bytes) == (False, 20)
    assert [each.message for each in store.logs()] == ["a", "b"]
    assert (store.late.is_empty, store.late.bytes) == (True, 0)


def test_what_was_put_off_is_in_the_file_at_the_end(tmp_path: Path) -> None:
    path = str(tmp_path / "intake.db")
    first = Store(path)
    first.late.put_off(partial(put, first, "logs", [log("kept")]), 10)
    first.close()
    second = Store(path)
    assert second.logs()[0].message == "kept"
    second.close()


def test_a_file_keeps_what_arrived(tmp_path: Path) -> None:
    path = str(tmp_path / "intake.db")
    first = Store(path)
    record = put(first, "logs", [log("kept")])
    first.close()
    second = Store(path)
    assert second.logs()[0].message == "kept"
    assert second.new_request_id() == record.id + 1
    second.close()


def test_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no-folder/intake\.db: unable to open"):
        Store(str(tmp_path / "no-folder" / "intake.db"))


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("nothing to do with SQLite, and long enough to be seen as such " * 10)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        Store(str(text))
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE logs (x)")
    database.close()
    with pytest.raises(StoreError, match="name another file"):
        Store(str(other))
