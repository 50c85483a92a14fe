"""Series and sketches: bytes against published vectors, contents by independent decoders."""

from __future__ import annotations

import msgspec
import pytest

from ddx_agent.local.intake import Origin as ReadOrigin
from ddx_agent.local.intake import Resource
from ddx_core.intake import Compressor, Payload
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_metrics.accumulate import Count, Distribution, Gauge, Histogram
from ddx_metrics.aggregator import Gathered
from ddx_metrics.context import Context
from ddx_metrics.encode import Encoder, encode_series_json, encode_sketch
from ddx_metrics.origin import Origin, origin_of
from ddx_metrics.sample import MetricType
from ddx_metrics.series import Point, SeriesType
from ddx_metrics.settings import MetricsSettings
from ddx_metrics.sketch import Sketch

from .support import metrics_in


def sketch_of(*values: float) -> Sketch:
    sketch = Sketch()
    sketch.insert(values)
    return sketch


# Bytes computed by independent encoders of the same message.
dogsketches = [
    (
        1700000000,
        (1.0,),
        "0880e2cfaa06 1001 19000000000000f03f 21000000000000f03f 29000000000000f03f 31000000000000f03f 3a02f414 420101",
    ),
    (
        1656581400,
        (10, 20, 30),
        "0898daf59506 1003 190000000000002440 210000000000003e40 290000000000003440 310000000000004e40"
        " 3a069e17f617aa18 4203010101",
    ),
    (
        1656581400,
        (-1, -2, 0),
        "0898daf59506 1003 1900000000000000c0 29000000000000f0bf 3100000000000008c0 3a05cd15f31400 4203010101",
    ),
]


@pytest.mark.parametrize(("start_s", "values", "expected"), dogsketches)
def test_a_sketch_has_these_bytes(start_s: int, values: tuple[float, ...], expected: str) -> None:
    assert bytes.fromhex(expected) in encode_sketch("m", (), None, start_s, sketch_of(*values))


def test_a_whole_sketch_payload_has_these_bytes() -> None:
    name = "aws.lambda.enhanced.invocations"
    tags = ("cold_start:true", "function_arn:arn:aws:lambda:us-east-1:123456789012:function:f")
    body = encode_sketch(name, tags, origin_of(name, 38), 1_700_000_000, sketch_of(1.0))
    assert len(body) == 180
    assert body.hex() == (
        "0ab1010a1f6177732e6c616d6264612e656e68616e6365642e696e766f636174696f6e73220f636f6c645f73746172743a74727565"
        "223d66756e6374696f6e5f61726e3a61726e3a6177733a6c616d6264613a75732d656173742d313a3132333435363738393031323a"
        "66756e6374696f6e3a663a330880e2cfaa06100119000000000000f03f21000000000000f03f29000000000000f03f310000000000"
        "00f03f3a02f41442010142090a072001282630d903"
    )


def test_a_sketch_payload_has_this_size() -> None:
    tags = ("_dd.compute_stats:1", "architecture:x86_64", "dd_extension_version:63-next", "k:v")
    assert len(encode_sketch("test1", tags, None, 1_700_000_000, sketch_of(1.0))) == 140


def test_series_as_json_are_what_the_api_documents() -> None:
    points = [Point("test1", SeriesType.COUNT, 1.0), Point("test2", SeriesType.GAUGE, 2.5)]
    text = encode_series_json(points, ("k:v",), (("host", "h"),), Origin(1, 38, 472), 1656581400)
    origin = {"origin_product": 1, "origin_sub_product": 38, "origin_product_detail": 472}
    common = {"resources": [{"name": "h", "type": "host"}], "tags": ["k:v"], "metadata": {"origin": origin}}
    assert msgspec.json.decode(b"[" + text + b"]") == [
        {"metric": "test1", "points": [{"timestamp": 1656581400, "value": 1.0}], "type": 1, "interval": 10, **common},
        {"metric": "test2", "points": [{"timestamp": 1656581400, "value": 2.5}], "type": 3, **common},
    ]
    bare = encode_series_json(points[:1], (), (), None, 1656581400)
    assert bare == (
        b'{"metric":"test1","points":[{"timestamp":1656581400,"value":1.0}],"resources":[],"type":1,"tags":[],'
        b'"metadata":null,"interval":10}'
    )


class Out:
    """An encoder with its account, and what it has put."""

    def __init__(self, settings: MetricsSettings | None = None, *tags: tuple[str, str]) -> None:
        self.account = Account("metrics")
        self.payloads: list[Payload] = []
        self.encoder = Encoder(
            settings or MetricsSettings(), TagSet(tags), Compressor(), self.payloads.append, self.account
        )

    def add(
        self,
        name: str,
        type: MetricType,
        *values: float,
        tags: tuple[str, ...] = (),
        resources: tuple[tuple[str, str], ...] = (),
    ) -> None:
        made = {
            MetricType.COUNT: Count,
            MetricType.GAUGE: Gauge,
            MetricType.HISTOGRAM: Histogram,
            MetricType.DISTRIBUTION: Distribution,
        }[type]()
        made.add(values, 1.0)
        self.account.accept(len(values), 0)
        self.encoder.add(Gathered(1_700_000_000, 1_700_000_000, Context(name, type, tags, resources), made))
        self.check()

    def check(self) -> None:
        snapshot = self.account.snapshot()
        put = sum(payload.items for payload in self.payloads)
        dropped = sum(amount.items for amount in snapshot.dropped.values())
        assert snapshot.accepted.items == snapshot.held.items + put + dropped


@pytest.mark.parametrize("as_json", [False, True])
def test_series_say_what_was_gathered(as_json: bool) -> None:
    out = Out(MetricsSettings(series_as_json=as_json, origin_category=38), ("env", "prod"), ("a", "base"))
    out.add("hits", MetricType.COUNT, 3, 4, tags=("a:own", "env:prod"))
    out.add("load", MetricType.GAUGE, 0.5, resources=(("aws_rds", "db-1"),))
    out.add("datadog.tracer.x", MetricType.COUNT, 1)
    out.encoder.close()
    out.check()
    assert [payload.items for payload in out.payloads] == [4]
    hits, load, tracer = metrics_in(out.payloads)
    assert (hits.name, hits.type, hits.value, hits.interval_s, hits.timestamp_s) == (
        "hits",
        "count",
        7.0,
        10,
        1_700_000_000,
    )
    assert hits.tags == ("a:base", "a:own", "env:prod")
    assert hits.origin == ReadOrigin(product=1, category=38, service=472)
    assert (load.type, load.value, load.interval_s) == ("gauge", 0.5, None)
    assert load.resources == (Resource(type="aws_rds", name="db-1"),)
    assert tracer.origin is None


def test_sketches_say_what_was_gathered() -> None:
    out = Out(MetricsSettings(origin_category=38), ("env", "prod"))
    out.add("aws.lambda.enhanced.duration", MetricType.DISTRIBUTION, 10, 20, 30, tags=("cold_start:true",))
    out.encoder.close()
    (metric,) = metrics_in(out.payloads)
    assert metric.sketch is not None
    assert metric.sketch.bins == ((1487, 1), (1531, 1), (1557, 1))
    assert (metric.cnt, metric.min, metric.max, metric.sum, metric.avg) == (3, 10, 30, 60, 20)
    assert metric.tags == ("cold_start:true", "env:prod")
    assert metric.origin == ReadOrigin(product=1, category=38, service=473)


def test_excluded_tags_are_left_off_custom_metrics_alone() -> None:
    out = Out(
        MetricsSettings(exclude_tags=frozenset(["function_arn"]), origin_category=38),
        ("function_arn", "arn"),
        ("env", "e"),
    )
    out.add("my.metric", MetricType.COUNT, 1)
    out.add("aws.lambda.enhanced.errors", MetricType.DISTRIBUTION, 1)
    out.encoder.close()
    custom, enhanced = metrics_in(out.payloads)
    assert custom.tags == ("env:e",)
    assert custom.origin == ReadOrigin(product=1, category=38, service=472)
    assert enhanced.tags == ("env:e", "function_arn:arn")


def test_the_first_hundred_base_tags_are_kept_and_commas_in_values_too() -> None:
    out = Out(MetricsSettings(exclude_tags=frozenset(["k0"])), ("list", "a,b"), *((f"k{n}", "v") for n in range(120)))
    out.add("my.metric", MetricType.COUNT, 1, tags=("own",))
    out.add("aws.lambda.enhanced.errors", MetricType.DISTRIBUTION, 1)
    out.encoder.close()
    custom, enhanced = metrics_in(out.payloads)
    assert set(enhanced.tags) == {"list:a,b", *(f"k{n}:v" for n in range(99))}
    assert set(custom.tags) == {"list:a,b", "own", *(f"k{n}:v" for n in range(1, 100))}


def test_tags_can_be_completed_later() -> None:
    out = Out(None, ("env", "e"))
    out.add("m", MetricType.COUNT, 1)
    out.encoder.set_tags(TagSet([("env", "e"), ("account_id", "1")]))
    out.add("m", MetricType.COUNT, 1)
    out.encoder.close()
    assert [metric.tags for metric in metrics_in(out.payloads)] == [("env:e",), ("account_id:1", "env:e")]


def test_text_that_utf_8_cannot_carry_costs_nothing() -> None:
    out = Out(None, ("tag", "from\udcffenvironment"))
    out.add("m", MetricType.COUNT, 1)
    out.encoder.close()
    assert metrics_in(out.payloads)[0].tags == ("tag:from?environment",)


def test_sums_beyond_all_numbers_are_dropped_and_counted() -> None:
    out = Out()
    out.add("m", MetricType.COUNT, 1e308, 1e308)
    out.add("d", MetricType.DISTRIBUTION, 1e308, 1e308)
    out.add("fine", MetricType.COUNT, 1)
    out.encoder.close()
    assert [metric.name for metric in metrics_in(out.payloads)] == ["fine"]
    assert out.account.dropped("not_finite").items == 4


def test_a_histogram_of_which_nothing_is_wanted_is_counted_as_filtered() -> None:
    out = Out(MetricsSettings(histogram_aggregates=(), histogram_percentiles=()))
    out.add("h", MetricType.HISTOGRAM, 1, 2)
    out.encoder.close()
    assert out.payloads == []
    assert out.account.dropped("filtered").items == 2


def test_a_histogram_counts_its_samples_once() -> None:
    out = Out()
    out.add("h", MetricType.HISTOGRAM, 1, 2, 3)
    out.encoder.close()
    assert [payload.items for payload in out.payloads] == [3]
    assert len(metrics_in(out.payloads)) == 5
