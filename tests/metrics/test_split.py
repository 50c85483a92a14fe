"""A payload of metrics that the intake finds too large goes in halves: every series and sketch once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.intake import Compressor, Payload
from ddx_core.pipeline import FlushKind
from ddx_metrics.sample import MetricType, Sample
from ddx_metrics.settings import MetricsSettings
from ddx_metrics.split import split_payload

from .support import Rig, metrics_in

compressor = Compressor()


async def packed(kind: MetricType, contexts: int, *, as_json: bool = False) -> Payload:
    rig = Rig(MetricsSettings(series_as_json=as_json))
    rig.pipeline.add(Sample(name=f"m{number}", type=kind, value=1.0) for number in range(contexts) for _ in range(3))
    await rig.pipeline.flush(FlushKind.FINAL)
    (payload,) = rig.intake.payloads
    return payload


def down_to_the_end(payload: Payload) -> list[Payload]:
    parts = split_payload(payload, compressor)
    if not parts:
        return [payload]
    assert sum(part.items for part in parts) == payload.items
    assert all(part.items for part in parts)
    return [each for part in parts for each in down_to_the_end(part)]


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
@pytest.mark.parametrize("kind", [MetricType.COUNT, MetricType.DISTRIBUTION])
async def test_down_to_single_ones_each_is_there_once(kind: MetricType, as_json: bool) -> None:
    payload = await packed(kind, 11, as_json=as_json)
    parts = down_to_the_end(payload)
    assert sorted([metric.name for metric in metrics_in([part])] for part in parts) == sorted(
        [f"m{n}"] for n in range(11)
    )
    assert [part.items for part in parts] == [3] * 11
    assert {part.path for part in parts} == {payload.path}


@given(st.binary(max_size=40), st.sampled_from([None, "zstd", "gzip"]), st.sampled_from(["application/json", "x"]))
def test_what_is_none_of_ours_is_not_split(body: bytes, encoding: str | None, content_type: str) -> None:
    payload = Payload(path="/", content_type=content_type, body=body, items=2, encoding=encoding)
    assert sum(part.items for part in split_payload(payload, compressor)) in (0, 2)
