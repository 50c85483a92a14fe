"""Sample: one value of one metric, as sources hand it to the pipeline. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec


class MetricType(StrEnum):
    """How values of one metric combine within a time bucket."""

    COUNT = "count"
    """Added up, each divided by its sample rate."""
    GAUGE = "gauge"
    """The last one wins."""
    SET = "set"
    """The number of different values."""
    HISTOGRAM = "histogram"
    """Aggregated here, into series for maximum, median, average, count and percentiles. Timings are histograms."""
    DISTRIBUTION = "distribution"
    """Sent as a sketch and aggregated by the intake."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """`value` is a finite number, or text where `type` is SET. `time_s` is Unix seconds; None means now.

    `tags` are `key:value` or bare keys, in any order. `rate` is the share of events that was sampled, in (0, 1].
    """

    name: str
    value: float | str
    type: MetricType = MetricType.DISTRIBUTION
    tags: tuple[str, ...] = ()
    time_s: int | None = None
    rate: float = 1.0


Values = list[tuple[str, float]]
"""(metric, value) pairs of one moment, before they have a time and tags."""

AddSamples = Callable[[Iterable[Sample]], None]
"""Takes samples in, synchronously; whatever cannot be taken is dropped and counted, never raised."""
