"""Payloads: what pieces become, and the limits."""

from __future__ import annotations

import pytest

from ddx_core.intake import Coding, Compressor, Payload
from ddx_core.stats import Account
from ddx_metrics.encode import encode_series, encode_series_json
from ddx_metrics.payload import PayloadBuilder, series_json, series_protobuf, sketches_protobuf
from ddx_metrics.series import Point, SeriesType

from .support import metrics_in

plain = Compressor(Coding.IDENTITY)


@pytest.mark.parametrize(
    ("pieces", "limits", "expected"),
    [
        ([b"x"] * 13, {"max_entries": 5}, [5, 5, 3]),
        ([b"x"] * 12, {"max_entries": 5}, [5, 5, 2]),
        ([b"x" * 196] * 5, {"max_bytes": 431}, [2, 2, 1]),
        ([b"x" * 140] * 5, {"max_bytes": 281}, [2, 2, 1]),
        ([b"x" * 196] * 3, {"max_bytes": 1}, [1, 1, 1]),
        ([], {}, []),
    ],
)
def test_payloads_are_closed_at_their_limits(pieces: list[bytes], limits: dict[str, int], expected: list[int]) -> None:
    account, payloads = Account("metrics"), list[Payload]()
    builder = PayloadBuilder(series_protobuf, plain, payloads.append, account, **limits)
    for piece in pieces:
        builder.add(piece, samples=1)
    builder.close()
    builder.close()
    assert [payload.items for payload in payloads] == expected
    assert [len(payload.body) for payload in payloads] == [count * len(pieces[0]) for count in expected]


def test_json_payloads_are_whole_documents() -> None:
    payloads = list[Payload]()
    builder = PayloadBuilder(series_json, plain, payloads.append, Account("metrics"))
    for name in ("a", "b"):
        builder.add(encode_series_json([Point(name, SeriesType.COUNT, 1.0)], (), (), None, 10), samples=1)
    builder.close()
    assert [metric.name for metric in metrics_in(payloads)] == ["a", "b"]
    assert payloads[0].content_type == "application/json"
    assert payloads[0].encoding is None


def test_what_no_intake_would_take_is_dropped_alone() -> None:
    account, payloads = Account("metrics"), list[Payload]()
    account.accept(3, 0)
    for form, size in ((series_protobuf, 5_242_881), (sketches_protobuf, 4_194_305), (series_protobuf, 600_000)):
        builder = PayloadBuilder(form, plain, payloads.append, account)
        builder.add(b"x" * size, samples=1)
        builder.close()
    assert payloads == []
    assert account.dropped("too_large").items == 3
    builder = PayloadBuilder(series_protobuf, Compressor(), payloads.append, account)
    builder.add(b"x" * 600_000, samples=1)
    builder.close()
    assert len(payloads) == 1


def test_concatenated_series_are_one_message() -> None:
    payloads = list[Payload]()
    builder = PayloadBuilder(series_protobuf, Compressor(), payloads.append, Account("metrics"))
    for number in range(1500):
        builder.add(encode_series([Point(f"m{number}", SeriesType.RATE, 1.0)], ("a:b",), (), None, 10), samples=2)
    builder.close()
    assert [payload.items for payload in payloads] == [2000, 1000]
    metrics = metrics_in(payloads)
    assert [metric.name for metric in metrics] == [f"m{number}" for number in range(1500)]
    assert {(metric.type, metric.interval_s) for metric in metrics} == {("rate", 10)}
