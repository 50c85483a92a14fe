"""Metric bodies in all their forms, against published byte vectors and bodies made with Google's library."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.intake import Origin, Resource, Sketch
from ddx_agent.local.intake.decode import (
    DecodeError,
    decode_distribution_points,
    decode_series_v1,
    decode_series_v2,
    decode_sketches,
)
from ddx_agent.local.intake.sketches import key_of, representative, summarize
from tests.agent.local.dynamic_protobuf import encoded

# One distribution sample of 1.0 with origin metadata, as the vendor's Lambda extension sends it.
invocation = bytes.fromhex(
    "0ab1010a1f6177732e6c616d6264612e656e68616e6365642e696e766f636174696f6e73220f636f6c645f73746172743a74727565223d66"
    "756e6374696f6e5f61726e3a61726e3a6177733a6c616d6264613a75732d656173742d313a3132333435363738393031323a66756e637469"
    "6f6e3a663a330880e2cfaa06100119000000000000f03f21000000000000f03f29000000000000f03f31000000000000f03f3a02f4144201"
    "0142090a072001282630d903"
)

# Dogsketch messages alone, as agents write them: bytes → summary and bins.
dogsketches = {
    "0880e2cfaa06100119000000000000f03f21000000000000f03f29000000000000f03f31000000000000f03f3a02f414420101": Sketch(
        cnt=1, sum=1.0, min=1.0, max=1.0, avg=1.0, bins=((1338, 1),)
    ),
    "0898daf595061003190000000000002440210000000000003e40290000000000003440310000000000004e403a069e17f617aa184203010101": Sketch(
        cnt=3, sum=60.0, min=10.0, max=30.0, avg=20.0, bins=((1487, 1), (1531, 1), (1557, 1))
    ),
    "0898daf5950610031900000000000000c029000000000000f0bf3100000000000008c03a05cd15f314004203010101": Sketch(
        cnt=3, sum=-3.0, min=-2.0, max=0.0, avg=-1.0, bins=((-1383, 1), (-1338, 1), (0, 1))
    ),
}


def test_reads_a_whole_sketch_payload() -> None:
    (metric,) = decode_sketches(invocation, request=7)
    assert (metric.request, metric.name, metric.type) == (7, "aws.lambda.enhanced.invocations", "distribution")
    assert metric.tags == ("cold_start:true", "function_arn:arn:aws:lambda:us-east-1:123456789012:function:f")
    assert metric.timestamp_s == 1_700_000_000
    assert metric.origin == Origin(product=1, category=38, service=473)
    assert metric.sketch == Sketch(cnt=1, sum=1.0, min=1.0, max=1.0, avg=1.0, bins=((1338, 1),))
    assert (metric.cnt, metric.sum, metric.min, metric.max, metric.avg, metric.value) == (1, 1.0, 1.0, 1.0, 1.0, None)


@pytest.mark.parametrize(("data", "sketch"), dogsketches.items(), ids=["one", "three", "negative"])
def test_reads_published_sketch_bytes(data: str, sketch: Sketch) -> None:
    dog = bytes.fromhex(data)
    message = b"\x0a\x01m" + bytes([7 << 3 | 2, len(dog)]) + dog
    (metric,) = decode_sketches(bytes([1 << 3 | 2, len(message)]) + message, request=1)
    assert metric.sketch == sketch


@pytest.mark.parametrize(
    ("values", "quantiles"),
    [
        ([3.15, 2.28], {0.5: 2.28, 0.99: 3.149708168614422}),
        ([10, 20, 30], {0: 10, 0.5: 19.93163168041631, 0.95: 29.827084345008355, 1: 30}),
        ([1, 2, 3, 4, 5], {0.25: 2.009103080990281, 0.75: 3.974395264043952, 0.9: 5}),
        ([-1, -2, 0], {0.5: -1}),
        ([0.1, 0.1, 0.2, 0.3, 100], {0.25: 0.1003998647276909, 0.99: 99.95733062532699}),
        (range(101), {0.01: 1.0, 0.5: 49.75221608642316, 0.98: 98.41952553878349, 0.99: 99.18842808205522}),
    ],
)
def test_quantiles_are_those_of_the_agents_sketch(values: list[float], quantiles: dict[float, float]) -> None:
    sketch = summarize(values)
    for q, expected in quantiles.items():
        assert sketch.quantile(q) == pytest.approx(expected, rel=1e-12)


def test_an_empty_sketch_has_no_quantiles() -> None:
    assert summarize([]).quantile(0.5) is None


def test_keys_and_representatives_are_inverse() -> None:
    for key in (*range(-32766, 32767, 111), -32766, -1, 0, 1, 1338, 32766):
        assert key_of(representative(key)) == key
    assert key_of(1e300) == 32767
    assert representative(32767) == float("inf")


def test_reads_json_series_as_the_vendors_extension_writes_them() -> None:
    body = (
        b'{"series":[{"metric":"test1","points":[{"timestamp":1656581400,"value":1.0}],"resources":[],"type":0,'
        b'"tags":["_dd.compute_stats:1","k:v"],"metadata":null}]}'
    )
    (metric,) = decode_series_v2(body, protobuf=False, request=1)
    assert (metric.name, metric.type, metric.value, metric.timestamp_s) == ("test1", "unspecified", 1.0, 1656581400)
    assert metric.tags == ("_dd.compute_stats:1", "k:v")
    assert (metric.origin, metric.host, metric.interval_s, metric.sketch) == (None, None, None, None)
    assert (metric.cnt, metric.sum, metric.avg, metric.quantile(0.5)) == (1, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "origin",
    [
        {"origin_product": 1, "origin_sub_product": 38, "origin_product_detail": 472},
        {"product": 1, "metric_type": 38, "service": 472},
    ],
    ids=["agents", "public API"],
)
def test_reads_both_spellings_of_origin_metadata(origin: dict[str, int]) -> None:
    series = {
        "metric": "m", "type": 3, "points": [{"timestamp": 1, "value": 2}, {"timestamp": 2, "value": None}],
        "resources": [{"type": "host", "name": "h"}], "interval": 10, "unit": "byte", "source_type_name": "s",
        "metadata": {"origin": origin},
    }  # fmt: skip
    first, second = decode_series_v2(msgspec.json.encode({"series": [series]}), protobuf=False, request=1)
    assert first.origin == Origin(product=1, category=38, service=472)
    assert (first.type, first.value, first.host, first.interval_s, first.unit) == ("gauge", 2.0, "h", 10, "byte")
    assert first.source_type == "s"
    assert first.resources == (Resource(type="host", name="h"),)
    assert (second.value, second.cnt) == (None, 0)


def test_reads_protobuf_series() -> None:
    body = encoded(
        "MetricPayload",
        {
            "series": [
                {
                    "metric": "m",
                    "type": 1,
                    "tags": ["a:b", "c"],
                    "points": [
                        {"value": 1.5, "timestamp": 5},
                        {"timestamp": 6},
                        {"value": float("nan"), "timestamp": 7},
                    ],
                    "resources": [{"type": "host", "name": "h"}],
                    "interval": 10,
                    "metadata": {"origin": {"origin_product": 10, "origin_category": 10}},
                }
            ]
        },
    )
    metrics = decode_series_v2(body, protobuf=True, request=1)
    assert [(metric.timestamp_s, metric.value) for metric in metrics] == [(5, 1.5), (6, 0.0), (7, None)]
    assert metrics[0].tags == ("a:b", "c")
    assert (metrics[0].type, metrics[0].host, metrics[0].interval_s) == ("count", "h", 10)
    assert metrics[0].origin == Origin(product=10, category=10, service=0)


def test_reads_the_older_series_api() -> None:
    body = b'{"series":[{"metric":"m","points":[[1656581400,1],[1656581410.0,2.5]],"type":"rate","interval":10,"host":"h"}]}'
    first, second = decode_series_v1(body, request=1)
    assert (first.type, first.value, first.interval_s, first.host, first.tags) == ("rate", 1.0, 10, "h", ())
    assert (second.timestamp_s, second.value) == (1656581410, 2.5)
    assert decode_series_v1(b'{"series":[{"metric":"m","points":[[1,1]]}]}', request=1)[0].type == "gauge"


def test_reads_distribution_points_as_sketches() -> None:
    body = b'{"series":[{"metric":"m","points":[[1656581400,[10,20,30]]],"tags":["a:b"]}]}'
    (metric,) = decode_distribution_points(body, request=1)
    assert metric.sketch == Sketch(cnt=3, sum=60.0, min=10, max=30, avg=20.0, bins=((1487, 1), (1531, 1), (1557, 1)))
    assert metric.tags == ("a:b",)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"series":{}}', b'{"series":[{"points":[]}]}', b'{"series":[{"metric":"","points":[{}]}]}',
        b'{"series":[{"metric":"m","points":[{"timestamp":"x"}]}]}', b'{"series":[{"metric":"m","type":4,"points":[{}]}]}',
        b'{"series":[{"metric":"m","points":[{"timestamp":99999999999999999999}]}]}',
        b'{"series":[{"metric":"\xff","points":[]}]}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_refuses_json_that_is_no_series(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_series_v2(body, protobuf=False, request=1)


@pytest.mark.parametrize(
    ("sketch", "reason"),
    [
        ({"k": [1, 2], "n": [1]}, "2 keys and 1 counts"),
        ({"cnt": -1}, "count -1"),
        ({"avg": float("nan")}, "not finite"),
        ({"max": float("inf")}, "not finite"),
    ],
)
def test_refuses_sketches_that_cannot_be(sketch: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_sketches(encoded("SketchPayload", {"sketches": [{"metric": "m", "dogsketches": [sketch]}]}), request=1)


def test_refuses_a_metric_without_a_name() -> None:
    with pytest.raises(DecodeError, match="without a name"):
        decode_sketches(encoded("SketchPayload", {"sketches": [{"dogsketches": [{"cnt": 1}]}]}), request=1)


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_give_metrics_or_a_decode_error(data: bytes) -> None:
    for decode in (
        lambda: decode_sketches(data, request=1),
        lambda: decode_series_v2(data, protobuf=True, request=1),
        lambda: decode_series_v2(data, protobuf=False, request=1),
        lambda: decode_series_v1(data, request=1),
        lambda: decode_distribution_points(data, request=1),
    ):
        with suppress(DecodeError):
            decode()
