"""What becomes of spans between a receiver and the outbox; the account closes after every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.intake import Coding, Compressor, Endpoint, IntakeClient, Payload, StaticKey, open_fanout
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_traces import store as store_module
from ddx_traces.agent import decode_v04
from ddx_traces.observer import ChunkObserver
from ddx_traces.parts import ReadSpans, TracePart
from ddx_traces.rules import FilterSettings, ReplaceRule, TagRule
from ddx_traces.settings import TracesSettings
from ddx_traces.span import Span, Tracer, TracerPayload
from ddx_traces.stats import StatsStore, decode_client_stats
from ddx_traces.store import TraceStore
from tests.support.builders import taken_from

from .protobuf_reader import read_agent_payload
from .support import Rig, body_of, function_tags, now, span, spans_in, v04, wire_span


class Bench:
    """A store and what it has put on its outbox."""

    def __init__(
        self,
        traces: TracesSettings | None = None,
        *,
        observers: tuple[ChunkObserver, ...] = (),
        outbox_bytes: int = 16 << 20,
        tags: TagSet = function_tags,
    ) -> None:
        self.account = Account("traces")
        endpoint = Endpoint(name="primary", base_url="http://intake", key=StaticKey("k"))
        # Nothing is sent here, so no client is needed.
        self.fanout = open_fanout(self.account, [endpoint], cast(IntakeClient, None), max_bytes=outbox_bytes)
        self.full_payloads = 0
        self.store = TraceStore(
            traces or TracesSettings(),
            account=self.account,
            fanout=self.fanout,
            compressor=Compressor(Coding.IDENTITY),
            tags=tags,
            now_ns=lambda: now,
            observers=observers,
            on_full_payload=self._count,
        )

    def add(self, *spans: Span, payload: TracerPayload | None = None, size: int = 0, malformed: int = 0) -> None:
        self.store.add(TracePart(ReadSpans(list(spans), malformed), size), payload or TracerPayload())
        self.check()

    def pack_all(self) -> list[Payload]:
        while len(self.store):
            self.store.pack()
            self.check()
        payloads = taken_from(self.fanout.primary)
        for each in payloads:
            self.account.deliver(each.items, each.size)
        self.check()
        return payloads

    def check(self) -> None:
        assert self.account.snapshot().closes, self.account.snapshot()

    def dropped(self) -> dict[str, int]:
        return {reason: amount.items for reason, amount in self.account.snapshot().dropped.items()}

    def _count(self) -> None:
        self.full_payloads += 1


def test_spans_of_several_requests_go_into_one_payload() -> None:
    bench = Bench()
    bench.add(span(), span(span_id=3, parent_id=2))
    bench.add(span(trace_id=2))
    (payload,) = bench.pack_all()
    assert (payload.path, payload.content_type, payload.items) == ("/api/v0.2/traces", "application/x-protobuf", 3)
    assert [each["spanID"] for each in spans_in(payload)] == [2, 3, 2]
    assert bench.account.snapshot().delivered.items == 3


def test_body_is_compressed_once_it_is_complete() -> None:
    account = Account("traces")
    endpoint = Endpoint(name="primary", base_url="http://intake", key=StaticKey("k"))
    fanout = open_fanout(account, [endpoint], cast(IntakeClient, None), max_bytes=1 << 20)
    store = TraceStore(
        TracesSettings(),
        account=account,
        fanout=fanout,
        compressor=Compressor(),
        tags=function_tags,
        now_ns=lambda: now,
    )
    store.add(TracePart(ReadSpans([span()]), 0), TracerPayload())
    store.pack()
    (payload,) = taken_from(fanout.primary)
    assert payload.encoding == "zstd"
    assert len(spans_in(payload)) == 1


def test_every_drop_has_its_reason() -> None:
    bench = Bench()
    bench.add(
        span(),
        span(),
        span(span_id=0),
        span(span_id=4, resource="dd-tracer-serverless-span"),
        span(span_id=5, meta={"http.url": "http://127.0.0.1:8124/lambda/hello"}),
        size=1000,
        malformed=2,
    )
    assert bench.dropped() == {"duplicate": 1, "filtered": 2, "malformed": 3}
    snapshot = bench.account.snapshot()
    assert (snapshot.accepted.items, snapshot.accepted.bytes, snapshot.held.items) == (7, 1000, 1)


def test_nothing_is_nothing() -> None:
    bench = Bench()
    bench.add()
    assert bench.account.snapshot().accepted.items == 0


def test_runtime_api_is_the_one_it_was_told() -> None:
    bench = Bench(TracesSettings(runtime_api="169.254.100.1:9001", own_addresses=("127.0.0.1:9999",)))
    bench.add(
        span(span_id=1, meta={"http.url": "http://169.254.100.1:9001/2018-06-01/runtime/invocation/next"}),
        span(span_id=2, meta={"http.url": "http://127.0.0.1:9999/"}),
        span(span_id=3, meta={"http.url": "http://127.0.0.1:9001/"}),
    )
    assert bench.dropped() == {"filtered": 2}


def test_tags_that_become_known_later_are_on_what_comes_later() -> None:
    bench = Bench(TracesSettings(env="prod", version="1"))
    bench.add(span(span_id=1))
    bench.store.set_tags(function_tags.with_tags([("account_id", "123")]))
    bench.add(span(span_id=2))
    (payload,) = bench.pack_all()
    assert [each["meta"].get("account_id") for each in spans_in(payload)] == [None, "123"]
    (tracer_payload,) = read_agent_payload(body_of(payload))["tracerPayloads"]
    assert tracer_payload["tags"] == {
        "_dd.tags.function": "functionname:orders,region:eu-west-1,service:shop,account_id:123"
    }
    assert (tracer_payload["env"], tracer_payload["appVersion"]) == ("prod", "1")


@pytest.mark.parametrize(("computed", "expected"), [(False, "1"), (True, None)])
def test_backend_makes_statistics_only_of_what_the_tracer_did_not(computed: bool, expected: str | None) -> None:
    bench = Bench()
    bench.add(span(), payload=TracerPayload(tracer=Tracer(computed_stats=computed)))
    (payload,) = bench.pack_all()
    (found,) = spans_in(payload)
    assert found["meta"].get("_dd.compute_stats") == expected
    assert dict(payload.headers).get("Datadog-Client-Computed-Stats") == ("true" if computed else None)


def test_what_a_tracer_dropped_is_told_once() -> None:
    bench = Bench(TracesSettings(max_payload_bytes=2000))
    sent = TracerPayload(dropped_p0_traces=5)
    bench.store.take_dropped_p0(sent)
    for number in range(1, 21):
        bench.add(span(span_id=number), payload=sent)
    payloads = bench.pack_all()
    assert len(payloads) > 1
    told = [dict(payload.headers).get("Datadog-Client-Dropped-P0-Traces") for payload in payloads]
    assert told == ["5", *[None] * (len(payloads) - 1)]


def test_what_tracers_dropped_is_bounded_by_what_a_header_can_say() -> None:
    bench = Bench()
    for _ in range(3):
        bench.store.take_dropped_p0(TracerPayload(dropped_p0_traces=2**63, dropped_p0_spans=1))
    bench.add(span())
    (payload,) = bench.pack_all()
    headers = dict(payload.headers)
    assert headers["Datadog-Client-Dropped-P0-Traces"] == str(2**64 - 1)
    assert headers["Datadog-Client-Dropped-P0-Spans"] == "3"


def test_payloads_stay_below_their_limit() -> None:
    bench = Bench(TracesSettings(max_payload_bytes=10_000))
    for trace in range(1, 50):
        bench.add(*[span(trace_id=trace, span_id=number, resource="r" * 50) for number in range(1, 40)])
    payloads = bench.pack_all()
    assert all(payload.size <= 10_000 for payload in payloads)
    assert sum(payload.items for payload in payloads) == 49 * 39
    assert bench.full_payloads > 0


def test_span_that_no_payload_can_take_is_dropped_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "max_span_bytes", 1000)
    bench = Bench()
    bench.add(span(span_id=1), span(span_id=2, resource="r" * 2000))
    assert bench.dropped() == {"too_large": 1}
    assert [each["spanID"] for each in spans_in(bench.pack_all()[0])] == [1]


def test_span_larger_than_the_outbox_does_not_get_lost() -> None:
    bench = Bench(outbox_bytes=10_000)
    bench.add(span(span_id=1, meta_struct={"noise": bytes(20_000)}))
    bench.add(span(span_id=2))
    sent = [each["spanID"] for payload in bench.pack_all() for each in spans_in(payload)]
    assert (sent, bench.dropped()) == ([1, 2], {})


def test_requests_are_turned_away_only_when_nothing_more_can_be_packed() -> None:
    bench = Bench(TracesSettings(max_buffer_bytes=5000, max_payload_bytes=2000), outbox_bytes=10_000)
    trace = 0
    while bench.store.make_room():
        trace += 1
        assert trace < 1000
        bench.add(*[span(trace_id=trace, span_id=number) for number in range(1, 5)])
    snapshot = bench.account.snapshot()
    assert snapshot.dropped == {}
    assert snapshot.held.items == trace * 4
    assert snapshot.held.bytes > 8000
    taken_from(bench.fanout.primary)
    bench.account.spool(0, 0)


def test_request_that_was_let_in_is_taken_to_its_end_and_the_oldest_makes_room() -> None:
    bench = Bench(TracesSettings(max_buffer_bytes=5000, max_payload_bytes=2000), outbox_bytes=10_000)
    for trace in range(1, 200):
        bench.add(*[span(trace_id=trace, span_id=number) for number in range(1, 5)])
        assert bench.account.snapshot().held.bytes < 20_000
    snapshot = bench.account.snapshot()
    assert set(snapshot.dropped) == {"queue_full"}
    assert snapshot.held.items > 20
    assert snapshot.accepted.items == 199 * 4


class Renaming(ChunkObserver):
    def on_chunk(self, spans: list[Span], payload: TracerPayload) -> list[Span]:
        for each in spans:
            each.name = "renamed"
        return spans


class Holding(ChunkObserver):
    def __init__(self) -> None:
        self.held: list[Span] = []

    def on_chunk(self, spans: list[Span], payload: TracerPayload) -> list[Span]:
        self.held += spans[1:]
        return spans[:1]


class Failing(ChunkObserver):
    def on_chunk(self, spans: list[Span], payload: TracerPayload) -> list[Span]:
        raise KeyError("a defect")


def test_observers_see_spans_before_they_are_processed_and_may_change_them() -> None:
    bench = Bench(observers=(Renaming(),))
    bench.add(span(name="bad-name", resource=""))
    (found,) = spans_in(bench.pack_all()[0])
    assert (found["name"], found["resource"]) == ("renamed", "renamed")


def test_spans_that_an_observer_leaves_out_are_its_own_to_account_for() -> None:
    holding = Holding()
    bench = Bench(observers=(holding,))
    bench.store.add(TracePart(ReadSpans([span(span_id=1), span(span_id=2)]), 0), TracerPayload())
    assert [each.span_id for each in holding.held] == [2]
    assert not bench.account.snapshot().closes
    bench.account.drop("held_back", 1, 0)
    bench.check()


def test_defect_on_the_way_leaves_no_span_uncounted() -> None:
    bench = Bench(observers=(Failing(),))
    with pytest.raises(KeyError):
        bench.add(span(span_id=1), span(span_id=0), span(span_id=2), malformed=1)
    assert bench.dropped() == {"failed": 2, "malformed": 2}
    bench.check()


def test_defect_in_encoding_leaves_no_span_uncounted() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="out of range"):
        bench.add(span(span_id=1), span(span_id=2, error=2**40))
    assert bench.dropped() == {"failed": 2}
    bench.check()


kinds = st.sampled_from(["good", "again", "malformed", "zero", "filtered", "foreign"])


@settings(max_examples=40)
@given(st.lists(st.lists(kinds, max_size=6), max_size=10), st.integers(1, 5))
def test_account_closes_whatever_comes(sent: list[list[str]], traces_per_request: int) -> None:
    bench = Bench(TracesSettings(max_payload_bytes=3000))
    next_id = 0
    requests: list[list[dict[str, Any]]] = []
    for trace in sent:
        spans: list[dict[str, Any]] = []
        for kind in trace:
            next_id += kind != "again"
            fields: dict[str, Any] = {"trace_id": 7, "span_id": next_id}
            match kind:
                case "malformed":
                    fields["name"] = 5
                case "zero":
                    fields["span_id"] = 0
                case "filtered":
                    fields["name"] = "dns.lookup"
                case "foreign":
                    fields["trace_id"] = 8
                case _:
                    pass
            spans.append(wire_span(**fields))
        requests.append(spans)
    for first in range(0, len(requests), traces_per_request):
        payload = TracerPayload()
        for part in decode_v04(v04(*requests[first : first + traces_per_request])):
            bench.store.add(part, payload)
            bench.check()
    payloads = bench.pack_all()
    total = sum(map(len, sent))
    assert sum(len(spans_in(payload)) for payload in payloads) + sum(bench.dropped().values()) == total


# --- statistics --------------------------------------------------------------------------------------------------------


def stats_body(groups: int, **fields: Any) -> bytes:
    bucket = {"Start": 1, "Duration": 2, "Stats": [{"Service": f"s{number}", "Hits": 1} for number in range(groups)]}
    return msgspec.msgpack.encode({"Hostname": "h", "Stats": [bucket], **fields})


def make_stats(*, obfuscate: Callable[[str, str], str] | None = None, **fields: Any) -> tuple[StatsStore, Account, Any]:
    account = Account("stats")
    endpoint = Endpoint(name="primary", base_url="http://intake", key=StaticKey("k"))
    fanout = open_fanout(account, [endpoint], cast(IntakeClient, None), max_bytes=1 << 20)
    settings = TracesSettings(**fields)
    store = StatsStore(settings, account=account, fanout=fanout, now_ns=lambda: now, obfuscate=obfuscate)
    return store, account, fanout


def test_statistics_of_several_tracers_go_into_one_payload_without_their_host() -> None:
    store, account, fanout = make_stats()
    for groups in (2, 1):
        body = stats_body(groups, Sequence=groups, RuntimeID=str(groups))
        assert store.add(decode_client_stats(body), len(body))
        assert account.snapshot().closes
    assert store.pack() == 2
    (payload,) = taken_from(fanout.primary)
    assert (payload.path, payload.content_type, payload.encoding) == (
        "/api/v0.2/stats",
        "application/msgpack",
        "gzip",
    )
    assert payload.items == 3
    sent = msgspec.msgpack.decode(body_of(payload))
    assert sent["ClientComputed"] is True
    assert [(each["Hostname"], each["Sequence"], len(each["Stats"][0]["Stats"])) for each in sent["Stats"]] == [
        ("", 2, 2),
        ("", 1, 1),
    ]


def test_statistics_for_which_there_is_no_room_are_not_taken() -> None:
    store, account, _ = make_stats(max_stats_buffer_bytes=2000)
    taken = 0
    while store.add(decode_client_stats(stats_body(1)), 100):
        taken += 1
    assert 0 < taken < 10
    snapshot = account.snapshot()
    assert (snapshot.accepted.items, snapshot.held.items, snapshot.closes) == (taken, taken, True)


def test_what_the_user_does_not_want_is_counted_by_a_reason_of_its_own() -> None:
    bench = Bench(TracesSettings(filters=FilterSettings(reject=(TagRule("debug"),))))
    bench.add(span(span_id=3, parent_id=2), span(meta={"debug": "1"}), size=100)
    bench.add(span(trace_id=9), size=100)
    assert bench.dropped() == {"rejected": 2}
    assert len(bench.store) == 1


def test_rules_of_the_user_reach_the_tags_of_the_function() -> None:
    tags = TagSet([("functionname", "orders"), ("owner", "a@b.example")])
    rule = ReplaceRule("*", r"[a-z]+@[a-z.]+", "?")
    bench = Bench(TracesSettings(replace_rules=(rule,)), tags=tags)
    bench.add(span(type="sql", resource="SELECT 'x@y'", meta={"mine": "to c@d.example"}))
    (payload,) = bench.pack_all()
    (sent,) = spans_in(payload)
    assert sent["resource"] == "SELECT ?"
    assert (sent["meta"]["mine"], sent["meta"]["owner"], sent["meta"]["functionname"]) == ("to ?", "?", "orders")
    assert b"example" not in body_of(payload)


async def test_statistics_of_tracers_are_hidden_as_spans_are() -> None:
    rig = Rig(TracesSettings(replace_rules=(ReplaceRule("resource.name", "orders", "?"),)))
    assert rig.pipeline._hide_resource("sql", "SELECT 1 FROM orders") == "SELECT ? FROM ?"  # pyright: ignore[reportPrivateUsage]
