"""Datagrams in, aggregated values out: whole packets, refusals by reason, and accounts that close after each of them."""

from __future__ import annotations

import tracemalloc
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.stats import Account
from ddx_metrics.accumulate import Count, Distribution, Gauge, Histogram, Members
from ddx_metrics.aggregator import Aggregator
from ddx_metrics.dogstatsd import Ingest
from ddx_metrics.dogstatsd.parse import parse_number
from ddx_metrics.settings import LineSettings

now_s = 1_700_000_003
open_s = 1_700_000_000


class Rig:
    """An ingest with its aggregator, and what one flush of it would send."""

    def __init__(self, *, namespace: str | None = None, max_known: int = 1000, max_contexts: int = 1000) -> None:
        self.account = Account("metrics")
        self.aggregator = Aggregator(self.account, max_contexts=max_contexts)
        self.ingest = Ingest(self.aggregator, self.account, LineSettings(namespace=namespace), max_known=max_known)
        self._taken = 0

    def take(self, *datagrams: bytes | str, at: int = now_s) -> None:
        self.ingest.take([each.encode() if isinstance(each, str) else each for each in datagrams], at)
        self.check()

    def check(self) -> None:
        snapshot = self.account.snapshot()
        held = snapshot.held.items + self._taken + sum(amount.items for amount in snapshot.dropped.values())
        assert snapshot.accepted.items == held, snapshot
        assert "internal_error" not in snapshot.dropped  # where a defect of ours would be counted

    def flush(self) -> dict[str, object]:
        """`name|type|tags|bucket` → count, last value, sorted members, or (count, sum, …)."""
        self.aggregator.cut(include_open=True)
        flushed: dict[str, object] = {}
        while (gathered := self.aggregator.take()) is not None:
            self._taken += gathered.values.samples
            context = gathered.context
            key = f"{context.name}|{context.type.value}|{','.join(context.tags)}|{gathered.start_s - open_s:+}"
            assert key not in flushed
            match gathered.values:
                case Count():
                    flushed[key] = gathered.values.total
                case Gauge():
                    flushed[key] = gathered.values.last
                case Members():
                    flushed[key] = sorted(gathered.values.different)
                case Histogram():
                    flushed[key] = (gathered.values.count, gathered.values.sum)
                case Distribution():
                    flushed[key] = (gathered.values.sketch.count, gathered.values.sketch.sum)
        self.check()
        return flushed

    @property
    def dropped(self) -> dict[str, int]:
        return {reason: amount.items for reason, amount in self.account.snapshot().dropped.items()}


lines: list[tuple[str, dict[str, object]]] = [
    ("test.metric:42|c", {"test.metric|count||+0": 42.0}),
    ("page.views:15|c|#env:dev|T1699999993", {"page.views|count|env:dev|-10": 15.0}),
    ("ab:1|c|T1699999993|#env:dev,service:test", {"ab|count|env:dev,service:test|-10": 1.0}),
    ("test:5|g|T1699999993|@0.5|#tag1:val1|c:container123", {"test|gauge|tag1:val1|-10": 5.0}),
    ("test:7|g|c:container123|T1699999993|#env:prod|@0.5", {"test|gauge|env:prod|-10": 7.0}),
    ("test.metric:10|c|@0.5", {"test.metric|count||+0": 20.0}),
    ("test.metric:10|c|@-0.5", {"test.metric|count||+0": 10.0}),
    ("test.metric:10|c|@inf", {"test.metric|count||+0": 10.0}),
    ("my.metric:5:10:15|c", {"my.metric|count||+0": 30.0}),
    ("my.metric:5:10:15|g", {"my.metric|gauge||+0": 15.0}),
    ("my.metric:5:10:15|d|@0.5", {"my.metric|distribution||+0": (6, 60.0)}),
    ("my.metric:5:10|ms", {"my.metric|histogram||+0": (2, 15.0)}),
    ("my.metric:5:10|h|@0.5", {"my.metric|histogram||+0": (4, 30.0)}),
    ("test.metric:99.5|d|#tag:val", {"test.metric|distribution|tag:val|+0": (1, 99.5)}),
    ("test.metric:5|g|#tag:val|X123|Yunknown", {"test.metric|gauge|tag:val|+0": 5.0}),
    ("test.metric:5|g||#tag:val||", {"test.metric|gauge|tag:val|+0": 5.0}),
    (
        f"containerid.metric:0|c|#env:dev,client_transport:udp|c:{'0' * 64}",
        {"containerid.metric|count|client_transport:udp,env:dev|+0": 0.0},
    ),
    ("t.f:1|c|#lang:go,_dd.origin:lambda,v1.65.1", {"t.f|count|_dd.origin:lambda,lang:go,v1.65.1|+0": 1.0}),
    ("datadog.tracer.flush_duration:0.785551|ms|#a", {"datadog.tracer.flush_duration|histogram|a|+0": (1, 0.785551)}),
    ("daemon:abc:def|s", {"daemon|set||+0": ["abc:def"]}),
    ("daemon:♬†øU†øU¥ºuT0♪|s", {"daemon|set||+0": ["♬†øU†øU¥ºuT0♪"]}),
    ("daemon:666|g|#", {"daemon|gauge||+0": 666.0}),
    ("daemon:666|g|m:test", {"daemon|gauge||+0": 666.0}),
    ("metric:1234|g|#|T1699999991", {"metric|gauge||-10": 1234.0}),
    ("m:1|c|T1700000002", {"m|count||+0": 1.0}),
    ("m:1|c|T1700000900", {"m|count||+0": 1.0}),
    ("m:1|c|Tabc", {"m|count||+0": 1.0}),
    ("m:1|c|Tinf", {"m|count||+0": 1.0}),
    ("m:1e-05|d", {"m|distribution||+0": (1, 1e-05)}),
    ("m:1|c\r", {"m|count||+0": 1.0}),
    ("m:1:nan:2|c", {"m|count||+0": 3.0}),
    ("name with blanks:1|c", {"name with blanks|count||+0": 1.0}),
]


@pytest.mark.parametrize(("line", "expected"), lines)
@pytest.mark.parametrize("times", [1, 3])
def test_a_line_becomes_values(line: str, expected: dict[str, object], times: int) -> None:
    """The same whether the line is new or was seen before: each time a different part of the code is at work."""
    rig = Rig()
    for _ in range(times):
        rig.take(line)
        assert rig.flush() == expected
        # Histograms and sets of one bucket are told whole each time; so each time it is another one.
        rig.aggregator.advance(open_s + 10)
        rig.aggregator.advance(open_s)


refused = [
    ("malformed", ":5|g|#tag:val"), ("malformed", "test.metric:|g|#tag:val"), ("malformed", "test.metric:5||#tag:val"),
    ("malformed", "|c"), ("malformed", "somerandomstring|c+a;slda"), ("malformed", "name5|c"), ("malformed", "name5"),
    ("malformed", "m:1|z"), ("malformed", "m:1|C"), ("malformed", "m:1"), ("malformed", "m:abc|c"),
    ("malformed", "m:1:x|c"), ("malformed", "m:::|c"), ("malformed", "m:1_000|c"), ("malformed", "m: 1|c"),
    ("malformed", "m:1|c|@abc"), ("malformed", "m:1|c|@"), ("malformed", "m:1|c|@0.5abc"), ("malformed", "m:1|c|T0x1"),
    ("malformed", "m:1|c|T123abc"), ("malformed", "m:1|c|T"), ("malformed", "m:1|c|T0"), ("malformed", "a|b:1|c"),
    ("not_finite", "m:nan|c"), ("not_finite", "m:inf|d"), ("not_finite", "m:-Infinity|g"), ("not_finite", "m:1e999|g"),
    ("event", "_e{5,10}:event|test event"), ("event", "_e{5,4}:title|text|#a"), ("event", "_e{"),
    ("service_check", "_sc|servicecheck|0"), ("service_check", "_sc|agent.up|0|d:21|h:localhost|#tag1:test|m:fine"),
    ("filtered", "aws.lambda.enhanced.invocations:1|c"), ("filtered", "aws.lambda.enhanced.invocations:1|d|#a|T1"),
    ("too_many_tags", "m:1|c|#" + ",".join(f"tag{i}" for i in range(101))),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "line"), refused)
def test_a_bad_line_costs_that_line_and_is_counted(reason: str, line: str) -> None:
    rig = Rig()
    rig.take(f"before:1|c\n{line}\nafter:2|g")
    rig.take(line)
    assert rig.flush() == {"before|count||+0": 1.0, "after|gauge||+0": 2.0}
    assert rig.dropped == {reason: 2}


def test_a_bad_value_of_a_known_metric_is_refused_like_that_of_a_new_one() -> None:
    rig = Rig()
    rig.take("m:1|c")
    for text in ("abc", "", "1_0", " 1", "1-1", ".", "1e", "--", "1e999", "nan"):
        rig.take(f"m:{text}|c")
    assert rig.dropped == {"malformed": 8, "not_finite": 2}
    assert rig.flush() == {"m|count||+0": 1.0}


def test_bytes_that_are_no_text_cost_their_line_alone() -> None:
    rig = Rig()
    rig.take(b"a:1|c\n\xff\xfe:1|c\nb:\xff|s\nc:1|c|#\xff\nd:1|c", b"\xff\xfe\x31\x7c\x63")
    assert rig.flush() == {"a|count||+0": 1.0, "d|count||+0": 1.0}
    assert rig.dropped == {"malformed": 4}


def test_empty_lines_and_datagrams_are_nothing() -> None:
    rig = Rig()
    rig.take(b"", b"\n\n", b"\r\n", b"a:1|c\n")
    assert rig.flush() == {"a|count||+0": 1.0}
    assert rig.dropped == {}


def test_a_packet_of_several_metrics() -> None:
    rig = Rig()
    rig.take("metric3:3|c|#tag3:val3,tag4:val4\nmetric1:1|c\nmetric2:2|c|#tag2:val2|T1700000001\n")
    assert rig.flush() == {
        "metric1|count||+0": 1.0,
        "metric2|count|tag2:val2|+0": 2.0,
        "metric3|count|tag3:val3,tag4:val4|+0": 3.0,
    }


def test_values_of_one_bucket_combine_by_type() -> None:
    rig = Rig()
    rig.take("hits:3|c|#env:prod", "hits:7|c|#env:prod", "hits:5|c|#env:prod")
    rig.take("cpu:30.0|g|#host:a", "cpu:55.0|g|#host:a", "cpu:42.0|g|#host:a")
    rig.take("latency:10.0|d|#svc:web", "latency:20.0|d|#svc:web", "latency:30.0|d|#svc:web")
    rig.take("users:ann|s", "users:bob|s", "users:ann|s", "users:1|s", "users:1.0|s")
    assert rig.flush() == {
        "hits|count|env:prod|+0": 15.0,
        "cpu|gauge|host:a|+0": 42.0,
        "latency|distribution|svc:web|+0": (3, 60.0),
        "users|set||+0": ["1", "1.0", "ann", "bob"],
    }


def test_one_name_with_several_types_keeps_them_apart() -> None:
    rig = Rig()
    rig.take("m:1|c\nm:5|g\nm:100|d\nm:7|h\nm:x|s\nm:2|c\nm:6|g")
    assert rig.flush() == {
        "m|count||+0": 3.0,
        "m|gauge||+0": 6.0,
        "m|distribution||+0": (1, 100.0),
        "m|histogram||+0": (1, 7.0),
        "m|set||+0": ["x"],
    }


def test_other_spellings_of_a_context_are_the_same_one() -> None:
    rig = Rig()
    rig.take("m:1|g|#a:1,b:2", "m:2|g|#b:2,a:1", "m:3|g|#a:1,b:2|c:abc", "m:4|g|@0.5|#a:1,b:2,a:1", "m:5|g|#b:2,a:1,")
    assert rig.flush() == {"m|gauge|a:1,b:2|+0": 5.0}
    rig.take("m:5|g|#b:2,a:1", "m:1|g|#a:1,b:2", "m:9|g|#a:1,b:2|T1700000001", "m:3|g|#b:2,a:1|T1700000002")
    assert rig.flush() == {"m|gauge|a:1,b:2|+0": 3.0}


def test_sample_rates_of_one_count_add_up() -> None:
    rig = Rig()
    rig.take("m:1|c", "m:1|c|@0.5", "m:1|c|@0.1", "m:1|c|@0.5")
    assert rig.flush() == {"m|count||+0": 15.0}


def test_each_sample_falls_into_the_bucket_of_its_time() -> None:
    rig = Rig()
    rig.take("m:1|c", at=open_s)
    rig.take("m:2|c", at=open_s + 9)
    rig.take("m:4|c", at=open_s + 10)
    rig.take("m:8|c|T1700000009", at=open_s + 25)
    rig.take("m:16|c", at=open_s + 3)  # the clock was set back
    assert rig.flush() == {"m|count||+0": 27.0, "m|count||+10": 4.0}


def test_the_namespace_is_put_before_custom_names() -> None:
    rig = Rig(namespace="custom.namespace")
    rig.take(
        "my.metric:42|c\ndatadog.tracer.x:1|c\naws.lambda.enhanced.errors:1|d\naws.lambda.enhanced.invocations:1|d"
    )
    assert rig.flush() == {
        "custom.namespace.my.metric|count||+0": 42.0,
        "datadog.tracer.x|count||+0": 1.0,
        "aws.lambda.enhanced.errors|distribution||+0": (1, 1.0),
    }


def test_somebody_can_be_asked_before_a_metric_is_taken() -> None:
    rig = Rig()
    answers = iter([True, False, False, True])
    rig.take("asked:1|c", "other:1|c")
    rig.ingest.ask_before("asked", lambda: next(answers))
    rig.take("asked:1|c", "asked:1|c", "asked:x|c", "asked:nan|c", "asked:1|c|T1700000001", "other:1|c", "asked:1|c")
    assert rig.flush() == {"asked|count||+0": 3.0, "other|count||+0": 2.0}
    assert rig.dropped == {"filtered": 2, "malformed": 1, "not_finite": 1}


def test_more_spellings_than_can_be_remembered_are_all_counted() -> None:
    rig = Rig(max_known=10)
    for turn in range(3):
        rig.take("\n".join(f"m{i}:{turn}|c\nd{i}:1|d\ns{i}:x|s" for i in range(20)))
    flushed = rig.flush()
    assert len(flushed) == 60
    assert all(flushed[f"m{i}|count||+0"] == 3.0 and flushed[f"d{i}|distribution||+0"] == (3, 3.0) for i in range(20))


@pytest.mark.parametrize(
    "line",
    [b"m%(tens)d:%(ones)d|c|%(padding)b", b"m:1|c|#%(tens)d%(ones)d%(padding)b", b"m:%(tens)d%(ones)d%(padding)b|s"],
    ids=["repeats", "tags", "members of a set"],
)
def test_long_lines_are_not_kept_beyond_the_bytes_that_count(line: bytes) -> None:
    account = Account("metrics")
    ingest = Ingest(Aggregator(account, max_contexts=1, max_bytes=1_000_000), account)
    tracemalloc.start()
    try:
        for number in range(1_200):
            ingest.take([line % {b"tens": number // 10, b"ones": number % 10, b"padding": b"z" * 60_000}], now_s)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Spellings of contexts may take 8 MiB, and the contexts that they lead to as much again.
    assert held < 20_000_000


def test_contexts_past_the_limit_are_dropped_and_counted() -> None:
    rig = Rig(max_contexts=2)
    rig.take("test:1|c", "foo:1|c", "foo:1|c", "bar:1|c", "foo:1|c", "bar:1|g")
    assert rig.flush() == {"test|count||+0": 1.0, "foo|count||+0": 3.0}
    assert rig.dropped == {"context_limit": 2}
    rig.take("bar:1|c")
    assert rig.flush() == {"bar|count||+0": 1.0}


def test_lines_that_repeat_whole_are_counted_each_time() -> None:
    rig = Rig(max_known=4)
    for second in range(0, 40, 5):
        rig.take("m:1|c\nn:1|g\nm:2|c\nn:2|g\nm:1|c", at=open_s + second)
        rig.take("m:1|c", "n:3|g", "m:1|c|@0.5", "m:1|c|T1700000001", "other:1|c", "x:1|d", at=open_s + second)
    flushed = rig.flush()
    for start in (0, 10, 20, 30):
        assert flushed[f"m|count||+{start}"] == 2 * 7.0 + (8.0 if start == 0 else 0.0)
        assert flushed[f"n|gauge||+{start}"] == 3.0


def test_very_many_values_of_one_context_are_folded_on_the_way() -> None:
    rig = Rig()
    for _ in range(30):
        rig.take(*["m:1|d"] * 500, *["n:2|c"] * 500)
    assert rig.flush() == {"m|distribution||+0": (15_000, 15_000.0), "n|count||+0": 30_000.0}


def test_bytes_accepted_are_those_of_the_lines() -> None:
    rig = Rig()
    rig.take("m:1|c", "m:1|c\nn:2|g")
    rig.take("m:1|c")
    accepted = rig.account.snapshot().accepted
    assert (accepted.items, accepted.bytes) == (4, 21)


some_names = st.sampled_from(["a", "b.c", "aws.lambda.enhanced.invocations", "_e{1,1}", "_sc", "é", ""])
some_values = st.sampled_from(["1", "2.5", "-3", "1:2:3", "nan", "x", "", "1e400", "1_0", ":", "0.001"])
some_rests = st.lists(
    st.sampled_from(
        ["c", "g", "d", "h", "ms", "s", "z", "", "@0.5", "@x", "#a:1,b", "#b,a:1", "T1700000001", "T5", "Tx", "c:1"]
    ),
    max_size=4,
).map("|".join)
some_lines = st.one_of(
    st.binary(max_size=30),
    st.tuples(some_names, some_values, some_rests).map(lambda parts: "{}:{}|{}".format(*parts).encode()),
)


@settings(max_examples=40)
@given(st.lists(st.lists(some_lines, max_size=6).map(b"\n".join), max_size=8))
def test_whatever_comes_nothing_raises_and_no_neighbour_is_lost(datagrams: list[bytes]) -> None:
    rig = Rig(max_known=5)
    sent = 0
    for datagram in datagrams:
        rig.take(datagram, b"good.neighbour:1|c")
        rig.take(b"good.neighbour:1|c\n" + datagram + b"\ngood.neighbour:1|c\n")
        sent += 3
    flushed = rig.flush()
    assert flushed.get("good.neighbour|count||+0", 0.0) == sent


@settings(max_examples=40)
@given(st.lists(some_lines, max_size=12), st.data())
def test_how_lines_are_packed_into_datagrams_makes_no_difference(lines: list[bytes], data: st.DataObject) -> None:
    alone, packed = Rig(), Rig(max_known=data.draw(st.integers(1, 8)))
    for line in lines:
        alone.take(line)
    rest = list(lines)
    while rest:
        count = data.draw(st.integers(1, len(rest)))
        packed.take(b"\n".join(rest[:count]))
        del rest[:count]
    assert alone.flush() == packed.flush()
    assert alone.dropped == packed.dropped


@given(
    st.text("0123456789.-+eE_ \t", min_size=1, max_size=12)
    | st.sampled_from(["1e999", "nan", "-inf", "9" * 299, "9" * 301, "1" * 401])
)
def test_a_number_is_the_same_number_whether_its_context_is_known_or_not(text: str) -> None:
    number = parse_number(text.encode())
    for before in (), ("m:0|d",):
        rig = Rig()
        rig.take(*before)
        rig.flush()
        rig.take(f"m:{text}|d")
        expected = {} if number is None or not isfinite(number) else {"m|distribution||+0": (1, number)}
        assert rig.flush() == expected
