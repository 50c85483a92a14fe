"""Encoder: gathered values → series and sketches, each serialised once, as it is added, and put into payloads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final

import msgspec

from ddx_core import log
from ddx_core.intake import Compressor
from ddx_core.proto import metrics_pb2
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from .accumulate import Distribution
from .aggregator import Gathered
from .bucket import interval_s
from .context import Context, encodable, max_tags
from .origin import Origin, is_enhanced, origin_of
from .payload import PayloadBuilder, PutPayload, series_json, series_protobuf, sketches_protobuf
from .series import Point, SeriesType, points_of
from .settings import MetricsSettings
from .sketch import Sketch

_max_known: Final = 10_000


class Encoder:
    """Adds base tags and origin to what was gathered and serialises it. What it has not put yet counts as held."""

    def __init__(
        self, settings: MetricsSettings, tags: TagSet, compressor: Compressor, put: PutPayload, account: Account
    ) -> None:
        self._settings = settings
        self._account = account
        self._as_json = settings.series_as_json
        self._series = PayloadBuilder(series_json if self._as_json else series_protobuf, compressor, put, account)
        self._sketches = PayloadBuilder(sketches_protobuf, compressor, put, account)
        self.set_tags(tags)

    def set_tags(self, tags: TagSet) -> None:
        """The base tags from here on."""
        if len(tags) > max_tags:
            log.warning("metrics_base_tags_left_out", tags=len(tags), limit=max_tags)
        self._base = _as_base(tags)
        self._base_of_custom = _as_base(tags.without(self._settings.exclude_tags))
        self._merged: dict[tuple[tuple[str, ...], bool], tuple[str, ...]] = {}
        self._kinds: dict[str, tuple[bool, Origin | None]] = {}

    def add(self, gathered: Gathered) -> None:
        context, values = gathered.context, gathered.values
        kind = self._kinds.get(context.name)
        if kind is None:
            kind = (is_enhanced(context.name), origin_of(context.name, self._settings.origin_category))
            if len(self._kinds) <= _max_known:
                self._kinds[context.name] = kind
        tags, origin = self._tags_of(context, is_enhanced=kind[0]), kind[1]
        if isinstance(values, Distribution):
            sketch = values.sketch
            if not (isfinite(sketch.sum) and isfinite(sketch.average)):
                self._account.drop("not_finite", values.samples, 0)
                return
            piece = encode_sketch(context.name, tags, origin, gathered.start_s, sketch)
            self._sketches.add(piece, samples=values.samples)
            return
        settings = self._settings
        points = points_of(context.name, values, settings.histogram_aggregates, settings.histogram_percentiles)
        # Finite values can have an infinite sum, and JSON no word for it.
        finite = [point for point in points if isfinite(point.value)]
        if not finite:
            # A histogram of which no aggregate is wanted makes no points at all.
            self._account.drop("not_finite" if points else "filtered", values.samples, 0)
            return
        encode = encode_series_json if self._as_json else encode_series
        piece = encode(finite, tags, context.resources, origin, gathered.time_s)
        self._series.add(piece, samples=values.samples, entries=len(finite))

    def close(self) -> None:
        """Put what is left as payloads."""
        self._series.close()
        self._sketches.close()
        self._merged.clear()
        self._kinds.clear()

    def _tags_of(self, context: Context, *, is_enhanced: bool) -> tuple[str, ...]:
        key = (context.tags, is_enhanced)
        merged = self._merged.get(key)
        if merged is None:
            base = self._base if is_enhanced else self._base_of_custom
            merged = tuple(sorted(base.union(context.tags)))
            if len(self._merged) <= _max_known:
                self._merged[key] = merged
        return merged


def _as_base(tags: TagSet) -> frozenset[str]:
    return frozenset(map(encodable, tags.rendered[:max_tags]))


def encode_series(
    points: Sequence[Point],
    tags: Sequence[str],
    resources: Sequence[tuple[str, str]],
    origin: Origin | None,
    time_s: int,
) -> bytes:
    """A MetricPayload with one series for each point."""
    payload = metrics_pb2.MetricPayload()
    for point in points:
        series = payload.series.add()
        for kind, name in resources:
            series.resources.add(type=kind, name=name)
        series.metric = point.name
        series.tags.extend(tags)
        place = series.points.add()
        place.value = point.value
        place.timestamp = time_s
        series.type = int(point.type)  # pyright: ignore[reportAttributeAccessIssue] (an enum field takes its number)
        if point.type is not SeriesType.GAUGE:
            series.interval = interval_s
        if origin is not None:
            _set_origin(series.metadata, origin)
    return payload.SerializeToString()


def encode_sketch(name: str, tags: Sequence[str], origin: Origin | None, start_s: int, values: Sketch) -> bytes:
    """A SketchPayload with one sketch of one bucket."""
    payload = metrics_pb2.SketchPayload()
    sketch = payload.sketches.add()
    sketch.metric = name
    sketch.tags.extend(tags)
    bucket = sketch.dogsketches.add()
    bucket.ts = start_s
    bucket.cnt = values.count
    bucket.min = values.min
    bucket.max = values.max
    bucket.avg = values.average
    bucket.sum = values.sum
    keys, counts = values.columns()
    bucket.k.extend(keys)
    bucket.n.extend(counts)
    if origin is not None:
        _set_origin(sketch.metadata, origin)
    return payload.SerializeToString()


def _set_origin(metadata: metrics_pb2.Metadata, origin: Origin) -> None:
    metadata.origin.origin_product = origin.product
    metadata.origin.origin_category = origin.category
    metadata.origin.origin_service = origin.service


class _JsonPoint(msgspec.Struct, frozen=True):
    timestamp: int
    value: float


class _JsonResource(msgspec.Struct, frozen=True):
    name: str
    type: str


class _JsonOrigin(msgspec.Struct, frozen=True):
    origin_product: int
    origin_sub_product: int
    origin_product_detail: int


class _JsonMetadata(msgspec.Struct, frozen=True):
    origin: _JsonOrigin


class _JsonSeries(msgspec.Struct, frozen=True, omit_defaults=True):
    metric: str
    points: list[_JsonPoint]
    resources: list[_JsonResource]
    type: int
    tags: Sequence[str]
    metadata: _JsonMetadata | None
    interval: int | None = None


_json = msgspec.json.Encoder()


def encode_series_json(
    points: Sequence[Point],
    tags: Sequence[str],
    resources: Sequence[tuple[str, str]],
    origin: Origin | None,
    time_s: int,
) -> bytes:
    """The same series as comma-separated JSON objects."""
    metadata = None
    if origin is not None:
        metadata = _JsonMetadata(_JsonOrigin(origin.product, origin.category, origin.service))
    return b",".join(
        _json.encode(
            _JsonSeries(
                metric=point.name,
                points=[_JsonPoint(time_s, point.value)],
                resources=[_JsonResource(name, kind) for kind, name in resources],
                type=int(point.type),
                tags=tags,
                metadata=metadata,
                interval=None if point.type is SeriesType.GAUGE else interval_s,
            )
        )
        for point in points
    )
