"""What the intake decoded, as far as a report shows it. Pure."""

from __future__ import annotations

import msgspec

from ..intake import Log, Metric, StatsGroup, Store, Totals
from .traces import Trace, build_traces


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    status: str | None
    service: str | None
    request_id: str | None
    tags: tuple[str, ...]


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    type: str
    tags: tuple[str, ...]
    timestamp_s: int
    count: int
    """Values in a distribution's sketch; else 1."""
    sum: float | None
    min: float | None
    max: float | None


class StatsRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    service: str
    resource: str
    hits: int
    errors: int
    total_ms: float


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What the intake decoded."""

    totals: Totals
    logs: tuple[LogLine, ...]
    metrics: tuple[MetricPoint, ...]
    traces: tuple[Trace, ...]
    stats: tuple[StatsRow, ...]
    events: tuple[str, ...] = ()
    """Their alert types and titles."""
    checks: tuple[str, ...] = ()
    """Their statuses and names."""


_statuses = ("ok", "warning", "critical", "unknown")


def what_arrived(store: Store) -> Arrived:
    return Arrived(
        totals=store.totals(),
        logs=tuple(map(_log, store.logs())),
        metrics=tuple(map(_metric, store.metrics())),
        traces=tuple(build_traces(store.spans())),
        stats=tuple(map(_stats, store.stats())),
        events=tuple(f"{event.alert_type:<8} {event.title}" for event in store.events()),
        checks=tuple(f"{_statuses[check.status]:<8} {check.name}" for check in store.checks()),
    )


def _log(log: Log) -> LogLine:
    return LogLine(
        message=log.message, status=log.status, service=log.service, request_id=log.request_id, tags=log.tags
    )


def _metric(metric: Metric) -> MetricPoint:
    return MetricPoint(
        name=metric.name,
        type=metric.type,
        tags=metric.tags,
        timestamp_s=metric.timestamp_s,
        count=metric.cnt,
        sum=metric.sum,
        min=metric.min,
        max=metric.max,
    )


def _stats(group: StatsGroup) -> StatsRow:
    return StatsRow(
        name=group.name,
        service=group.service,
        resource=group.resource,
        hits=group.hits,
        errors=group.errors,
        total_ms=group.total_ns / 1e6,
    )
