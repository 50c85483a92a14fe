"""MetricsSettings: what the pipeline can be told; the defaults are the documented ones. Pure."""

from __future__ import annotations

import msgspec


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`namespace` goes before the names of custom metrics. `exclude_tags` are keys of base tags that custom metrics do without.

    `origin_category` is the platform's number in origin metadata (see origin.py); None sends no such metadata.
    `histogram_aggregates` are of max, min, median, avg, sum, count; `histogram_percentiles` whole numbers of 1 to 100.
    `max_contexts` counts a context once for each 10-second bucket it has values in; `max_bytes` is about the memory
    that aggregation may take. `series_as_json` sends series as JSON in place of protobuf, for debugging and gateways.
    """

    namespace: str | None = None
    exclude_tags: frozenset[str] = frozenset()
    origin_category: int | None = None
    histogram_aggregates: tuple[str, ...] = ("max", "median", "avg", "count")
    histogram_percentiles: tuple[int, ...] = (95,)
    max_contexts: int = 10_240
    max_bytes: int = 33_554_432
    series_as_json: bool = False
