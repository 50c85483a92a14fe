"""Metric bodies: `/api/v1/series`, `/api/v2/series` (JSON, protobuf), `/api/beta/sketches`, `/api/v1/distribution_points`.

Field names and numbers are those of the public API reference and of the agents' payload definitions.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from ..items import Metric, Origin, Resource
from ..sketches import Sketch, summarize
from . import wire
from .documents import read_json
from .errors import DecodeError

Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

type_names = ("unspecified", "count", "rate", "gauge")
"""By number of the v2 API's enum."""


def decode_series_v1(body: bytes, *, request: int) -> list[Metric]:
    return [
        Metric(
            request=request,
            name=_name(series.metric),
            type=_named_type(series.type),
            tags=tuple(series.tags or ()),
            timestamp_s=_seconds(timestamp),
            value=_finite(value),
            sketch=None,
            host=series.host or None,
            interval_s=series.interval,
            source_type=series.source_type_name or None,
        )
        for series in read_json(body, _SeriesV1Body).series
        for timestamp, value in series.points
    ]


def decode_series_v2(body: bytes, *, protobuf: bool, request: int) -> list[Metric]:
    series = wire.read_message(_metric_payload, body).series if protobuf else read_json(body, _SeriesV2Body).series
    return [
        Metric(
            request=request,
            name=_name(each.metric),
            type=_numbered_type(each.type),
            tags=tuple(each.tags or ()),
            timestamp_s=point.timestamp,
            value=_finite(point.value),
            sketch=None,
            host=next((one.name for one in each.resources or () if one.type == "host" and one.name), None),
            interval_s=each.interval or None,
            unit=each.unit or None,
            source_type=each.source_type_name or None,
            resources=tuple(Resource(type=one.type, name=one.name) for one in each.resources or ()),
            origin=_origin(each.metadata),
        )
        for each in series
        for point in each.points
    ]


def decode_sketches(body: bytes, *, request: int) -> list[Metric]:
    """One item for each sketch and timestamp."""
    return [
        Metric(
            request=request,
            name=_name(each.metric),
            type="distribution",
            tags=each.tags,
            timestamp_s=dog.ts,
            value=None,
            sketch=_sketch(each.metric, dog),
            host=each.host or None,
            origin=_origin(each.metadata),
        )
        for each in wire.read_message(_sketch_payload, body).sketches
        for dog in each.dogsketches
    ]


def decode_distribution_points(body: bytes, *, request: int) -> list[Metric]:
    """One item for each series and timestamp, its values summed up as the sketch that the intake makes of them."""
    metrics: list[Metric] = []
    for series in read_json(body, _DistributionBody).series:
        for timestamp, values in series.points:
            if not all(map(math.isfinite, values)):
                raise DecodeError(f"a distribution point of {series.metric!r} is not finite")
            metrics.append(
                Metric(
                    request=request,
                    name=_name(series.metric),
                    type="distribution",
                    tags=tuple(series.tags or ()),
                    timestamp_s=_seconds(timestamp),
                    value=None,
                    sketch=summarize(values),
                    host=series.host or None,
                )
            )
    return metrics


# JSON


class _SeriesV1(msgspec.Struct):
    metric: str
    points: list[tuple[float, float | None]]
    type: str | None = None
    tags: list[str] | None = None
    host: str | None = None
    interval: Int64 | None = None
    source_type_name: str | None = None


class _SeriesV1Body(msgspec.Struct):
    series: list[_SeriesV1]


class _DistributionSeries(msgspec.Struct):
    metric: str
    points: list[tuple[float, list[float]]]
    tags: list[str] | None = None
    host: str | None = None


class _DistributionBody(msgspec.Struct):
    series: list[_DistributionSeries]


class _Point(msgspec.Struct):
    timestamp: Int64 = 0
    value: float | None = None


class _Resource(msgspec.Struct):
    type: str = ""
    name: str = ""


class _Origin(msgspec.Struct):
    """Agents and the public API reference name the same three numbers differently."""

    origin_product: Int64 | None = None
    origin_sub_product: Int64 | None = None
    origin_product_detail: Int64 | None = None
    product: Int64 | None = None
    metric_type: Int64 | None = None
    service: Int64 | None = None


class _Metadata(msgspec.Struct):
    origin: _Origin | None = None


class _SeriesV2(msgspec.Struct):
    metric: str
    points: list[_Point]
    type: Int64 = 0
    tags: list[str] | None = None
    resources: list[_Resource] | None = None
    interval: Int64 | None = None
    unit: str | None = None
    source_type_name: str | None = None
    metadata: _Metadata | None = None


class _SeriesV2Body(msgspec.Struct):
    series: list[_SeriesV2]


# Protobuf


class _OriginMessage(msgspec.Struct, frozen=True):
    product: int = 0
    category: int = 0
    service: int = 0


class _MetadataMessage(msgspec.Struct, frozen=True):
    origin: _OriginMessage | None = None


class _PointMessage(msgspec.Struct, frozen=True):
    value: float = 0.0
    timestamp: int = 0


class _SeriesMessage(msgspec.Struct, frozen=True):
    resources: tuple[_Resource, ...] = ()
    metric: str = ""
    tags: tuple[str, ...] = ()
    points: tuple[_PointMessage, ...] = ()
    type: int = 0
    unit: str = ""
    source_type_name: str = ""
    interval: int = 0
    metadata: _MetadataMessage | None = None


class _MetricPayload(msgspec.Struct, frozen=True):
    series: tuple[_SeriesMessage, ...] = ()


class _DogSketch(msgspec.Struct, frozen=True):
    ts: int = 0
    cnt: int = 0
    min: float = 0.0
    max: float = 0.0
    avg: float = 0.0
    sum: float = 0.0
    keys: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


class _SketchMessage(msgspec.Struct, frozen=True):
    metric: str = ""
    host: str = ""
    tags: tuple[str, ...] = ()
    dogsketches: tuple[_DogSketch, ...] = ()
    metadata: _MetadataMessage | None = None


class _SketchPayload(msgspec.Struct, frozen=True):
    sketches: tuple[_SketchMessage, ...] = ()


_metadata = wire.Message(
    _MetadataMessage,
    {
        1: wire.one(
            "origin",
            wire.Message(
                _OriginMessage,
                {
                    4: wire.one("product", wire.uint32),
                    5: wire.one("category", wire.uint32),
                    6: wire.one("service", wire.uint32),
                },
            ),
        )
    },
)
_metric_payload = wire.Message(
    _MetricPayload,
    {
        1: wire.many(
            "series",
            wire.Message(
                _SeriesMessage,
                {
                    1: wire.many(
                        "resources",
                        wire.Message(_Resource, {1: wire.one("type", wire.string), 2: wire.one("name", wire.string)}),
                    ),
                    2: wire.one("metric", wire.string),
                    3: wire.many("tags", wire.string),
                    4: wire.many(
                        "points",
                        wire.Message(
                            _PointMessage,
                            {1: wire.one("value", wire.double), 2: wire.one("timestamp", wire.int64)},
                        ),
                    ),
                    5: wire.one("type", wire.enum),
                    6: wire.one("unit", wire.string),
                    7: wire.one("source_type_name", wire.string),
                    8: wire.one("interval", wire.int64),
                    9: wire.one("metadata", _metadata),
                },
            ),
        )
    },
)
_sketch_payload = wire.Message(
    _SketchPayload,
    {
        1: wire.many(
            "sketches",
            wire.Message(
                _SketchMessage,
                {
                    1: wire.one("metric", wire.string),
                    2: wire.one("host", wire.string),
                    4: wire.many("tags", wire.string),
                    7: wire.many(
                        "dogsketches",
                        wire.Message(
                            _DogSketch,
                            {
                                1: wire.one("ts", wire.int64),
                                2: wire.one("cnt", wire.int64),
                                3: wire.one("min", wire.double),
                                4: wire.one("max", wire.double),
                                5: wire.one("avg", wire.double),
                                6: wire.one("sum", wire.double),
                                7: wire.many("keys", wire.sint32),
                                8: wire.many("counts", wire.uint32),
                            },
                        ),
                    ),
                    8: wire.one("metadata", _metadata),
                },
            ),
        )
    },
)


# From what was read to what is kept


def _name(name: str) -> str:
    if not name:
        raise DecodeError("a metric without a name")
    return name


def _seconds(timestamp: float) -> int:
    if not abs(timestamp) < 1 << 53:
        raise DecodeError(f"{timestamp} is no time in seconds")
    return int(timestamp)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _named_type(name: str | None) -> str:
    if not name:
        return "gauge"  # the v1 API's default
    if name not in type_names:
        raise DecodeError(f"metric type {name[:40]!r} is not one of count, rate, gauge")
    return name


def _numbered_type(number: int) -> str:
    if not 0 <= number < len(type_names):
        raise DecodeError(f"metric type {number} is not one of 0 to 3")
    return type_names[number]


def _origin(metadata: _Metadata | _MetadataMessage | None) -> Origin | None:
    origin = metadata.origin if metadata is not None else None
    match origin:
        case None:
            return None
        case _OriginMessage():
            return Origin(product=origin.product, category=origin.category, service=origin.service)
        case _Origin():
            return Origin(
                product=origin.origin_product or origin.product or 0,
                category=origin.origin_sub_product or origin.metric_type or 0,
                service=origin.origin_product_detail or origin.service or 0,
            )


def _sketch(metric: str, dog: _DogSketch) -> Sketch:
    if len(dog.keys) != len(dog.counts):
        raise DecodeError(f"a sketch of {metric!r} has {len(dog.keys)} keys and {len(dog.counts)} counts")
    if dog.cnt < 0:
        raise DecodeError(f"a sketch of {metric!r} has the count {dog.cnt}")
    if not all(map(math.isfinite, (dog.sum, dog.min, dog.max, dog.avg))):
        raise DecodeError(f"a sketch of {metric!r} has a summary that is not finite")
    bins = tuple(zip(dog.keys, dog.counts, strict=True))
    return Sketch(cnt=dog.cnt, sum=dog.sum, min=dog.min, max=dog.max, avg=dog.avg, bins=bins)
