"""A payload of metrics that the intake finds too large goes in halves: every series and sketch once."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.intake import Compressor, Payload, decompress
from ddx_core.pipeline import FlushKind
from ddx_metrics.sample import MetricType, Sample
from ddx_metrics.settings import MetricsSettings
from ddx_metrics.split import split_payload

from .support import Rig, metrics_in

compressor = Compressor()
odd_json = st.sampled_from(
    [b"[]", b"{}", b"[1, 2]", b'{"events": 1}', b'{"events": {"a": {}}}', b'{"events": {"a": [1, 2]}}']
)


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


@pytest.mark.parametrize("what", ["events", "checks"])
async def test_events_and_service_checks_are_there_once_each(what: str) -> None:
    rig = Rig()
    if what == "events":
        rig.take(*(f"_e{{2,4}}:e{number}|text|s:source{number % 3}" for number in range(10)))
    else:
        rig.take(*(f"_sc|c{number}|1" for number in range(10)))
    await rig.pipeline.flush(FlushKind.FINAL)
    (payload,) = rig.intake.payloads
    parts = down_to_the_end(payload)
    assert [part.items for part in parts] == [1] * 10
    told: list[str] = []
    for part in parts:
        body = msgspec.json.decode(decompress(part.body, part.encoding))
        if what == "events":
            assert body | {"events": {}} == {"apiKey": "", "events": {}, "internalHostname": ""}
            ((source, (event,)),) = body["events"].items()
            assert source == event["source_type_name"] == f"source{int(event['msg_title'][1:]) % 3}"
            told.append(event["msg_title"])
        else:
            (check,) = body
            told.append(check["check"])
    assert sorted(told) == [f"{what[0]}{number}" for number in range(10)]


@pytest.mark.parametrize("path", ["/", "/intake/", "/api/v1/check_run"])
@given(
    body=st.binary(max_size=40) | odd_json,
    encoding=st.sampled_from([None, "zstd", "gzip"]),
    content_type=st.sampled_from(["application/json", "x"]),
)
def test_what_is_none_of_ours_is_not_split(path: str, body: bytes, encoding: str | None, content_type: str) -> None:
    payload = Payload(path=path, content_type=content_type, body=body, items=2, encoding=encoding)
    assert sum(part.items for part in split_payload(payload, compressor)) in (0, 2)
