"""Requests of one tracer for the same buckets, made one: fewer groups, the same sums. Pure.

Rule of this file: nothing is lost. Groups of one key are added up when both of their sketches can be; others stand side by
side, which the backend takes as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .payload import ClientStats, StatsBucket, StatsGroup
from .sketch import merge_encoded

_max_uint64 = 2**64 - 1


def merge_stats(several: Sequence[ClientStats]) -> ClientStats:
    """`several` must agree in everything but `stats` and `sequence` (of which the last one counts), and are used up."""
    first = several[0]
    buckets: dict[tuple[int, int, int], dict[object, list[StatsGroup]]] = {}
    for stats in several:
        for bucket in stats.stats:
            groups = buckets.setdefault((bucket.start, bucket.duration, bucket.agent_time_shift), {})
            for group in bucket.stats:
                _add(groups.setdefault(_key(group), []), group)
    merged = [
        StatsBucket(
            start=start,
            duration=duration,
            stats=[group for same in groups.values() for group in same],
            agent_time_shift=shift,
        )
        for (start, duration, shift), groups in buckets.items()
    ]
    return msgspec.structs.replace(first, stats=merged, sequence=max(stats.sequence for stats in several))


def _add(same: list[StatsGroup], group: StatsGroup) -> None:
    for one in same:
        if _merge(one, group):
            return
    same.append(group)


def _merge(one: StatsGroup, other: StatsGroup) -> bool:
    if (
        max(one.hits + other.hits, one.duration + other.duration, one.top_level_hits + other.top_level_hits)
        > _max_uint64
    ):
        return False
    ok_summary = merge_encoded(one.ok_summary, other.ok_summary)
    error_summary = merge_encoded(one.error_summary, other.error_summary)
    if ok_summary is None or error_summary is None or one.errors + other.errors > _max_uint64:
        return False
    one.ok_summary = ok_summary
    one.error_summary = error_summary
    one.hits += other.hits
    one.errors += other.errors
    one.duration += other.duration
    one.top_level_hits += other.top_level_hits
    return True


def _key(group: StatsGroup) -> object:
    return (
        group.service,
        group.name,
        group.resource,
        group.http_status_code,
        group.type,
        group.db_type,
        group.synthetics,
        group.span_kind,
        tuple(group.peer_tags),
        group.is_trace_root,
        group.grpc_status_code,
        group.http_method,
        group.http_endpoint,
        group.service_source,
        tuple(group.span_derived_primary_tags),
        tuple(group.additional_metric_tags),
    )
