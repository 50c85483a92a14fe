"""What a context gathered → points of series: names, types and values as the intake wants them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import msgspec

from .accumulate import Count, Gauge, Histogram, Members
from .bucket import interval_s


class SeriesType(IntEnum):
    """Numbers of the API ("Submit metrics", v2)."""

    COUNT = 1
    RATE = 2
    GAUGE = 3


class Point(msgspec.Struct, frozen=True, gc=False):
    """One value of one series in one bucket."""

    name: str
    type: SeriesType
    value: float


def points_of(
    name: str, values: Count | Gauge | Members | Histogram, aggregates: Iterable[str], percentiles: Iterable[int]
) -> list[Point]:
    """The points of one context in one bucket; a histogram makes one for each of `aggregates` and `percentiles`."""
    if isinstance(values, Count):
        return [Point(name, SeriesType.COUNT, values.total)]
    if isinstance(values, Gauge):
        return [Point(name, SeriesType.GAUGE, values.last)]
    if isinstance(values, Members):
        return [Point(name, SeriesType.GAUGE, float(len(values.different)))]
    return _histogram_points(name, values, aggregates, percentiles)


def _histogram_points(
    name: str, values: Histogram, aggregates: Iterable[str], percentiles: Iterable[int]
) -> list[Point]:
    points: list[Point] = []
    ranks: list[tuple[int, str]] = []
    for aggregate in aggregates:
        match aggregate:
            case "max":
                points.append(Point(f"{name}.max", SeriesType.GAUGE, values.max))
            case "min":
                points.append(Point(f"{name}.min", SeriesType.GAUGE, values.min))
            case "avg":
                points.append(Point(f"{name}.avg", SeriesType.GAUGE, values.average))
            case "sum":
                points.append(Point(f"{name}.sum", SeriesType.GAUGE, values.sum))
            case "count":
                points.append(Point(f"{name}.count", SeriesType.RATE, (values.count - values.inherited) / interval_s))
            case "median":
                ranks.append(((values.count - 1) // 2, "median"))
            case _:
                pass
    ranks += [((percentile * values.count - 1) // 100, f"{percentile}percentile") for percentile in percentiles]
    ranks.sort()
    for (_, suffix), value in zip(ranks, values.ranked([rank for rank, _ in ranks]), strict=True):
        points.append(Point(f"{name}.{suffix}", SeriesType.GAUGE, value))
    return points
