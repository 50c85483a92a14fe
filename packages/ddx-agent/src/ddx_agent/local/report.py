"""What `ddx local` reports: invocations, what reached the intake, and whether the accounts close. Pure: values in, values out.

`Report` is the document that `--json` prints; `report_text.py` writes the same for people.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from .accounts import Accounts
from .function import Function, Outcome, Sample
from .intake import Log, Metric, Span, StatsGroup, Store, Totals
from .invocation import InvokeResult
from .sandbox.sandbox import LifeEnd


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One sample event and what came of it."""

    name: str
    expected: Outcome
    outcome: str
    as_expected: bool
    request_id: str
    error_type: str | None
    """The name in the error document, which the function chose; else the platform's type."""
    response: Any
    init_ms: float | None
    response_ms: float
    total_ms: float
    overhead_ms: float
    billed_ms: int
    memory_mb: int
    max_memory_mb: int
    log_lines: tuple[tuple[str, str], ...]


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


class SpanNode(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    service: str
    resource: str
    duration_ms: float
    error: str | None
    span_id: str
    children: tuple[SpanNode, ...]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    trace_id: str
    spans: int
    roots: tuple[SpanNode, ...]


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


class FunctionFacts(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    handler: str
    runtime: str
    memory_mb: int
    timeout_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    function: FunctionFacts
    extension: tuple[str, ...] | None
    """The extension's command; `None` when there was none."""
    cpu_share: float | None
    cpu_share_unavailable: str | None
    invocations: tuple[Played, ...]
    lives: tuple[LifeEnd, ...]
    arrived: Arrived
    accounts: Accounts | None
    """`None` when the extension writes none: another one than ours, or no extension at all."""
    accounts_close: bool | None
    extension_output: tuple[str, ...]
    """The last lines that extensions printed."""
    ok: bool


def facts_of(function: Function) -> FunctionFacts:
    return FunctionFacts(
        name=function.name,
        handler=function.handler,
        runtime=function.runtime,
        memory_mb=function.memory_mb,
        timeout_s=function.timeout_s,
    )


def played(sample: Sample, result: InvokeResult) -> Played:
    outcome = outcome_of(result)
    response = _readable(result.payload)
    return Played(
        name=sample.name,
        expected=sample.expect,
        outcome=outcome,
        as_expected=outcome == sample.expect,
        request_id=result.request_id,
        error_type=_error_name(response) or result.error_type if result.function_error else result.error_type,
        response=response,
        init_ms=result.init_ms,
        response_ms=result.response_ms,
        total_ms=result.total_ms,
        overhead_ms=result.overhead_ms,
        billed_ms=result.billed_ms,
        memory_mb=result.memory_mb,
        max_memory_mb=result.max_memory_mb,
        log_lines=result.log_lines,
    )


def outcome_of(result: InvokeResult) -> str:
    """`success`, `error` or `timeout` of the function; `failure` is the platform's or an extension's, and never expected."""
    if result.status == "error" and (result.error_type or "").startswith(("Extension.", "Sandbox.")):
        return "failure"
    return result.status


def _error_name(response: Any) -> str | None:
    match response:
        case {"errorType": str() as name} if name:
            return name
        case _:
            return None


def _readable(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def make_report(
    function: Function,
    *,
    extension: Sequence[str] | None,
    cpu_share: float | None,
    cpu_share_unavailable: str | None,
    invocations: Sequence[Played],
    lives: Sequence[LifeEnd],
    store: Store,
    accounts: Accounts | None,
    extension_output: Sequence[str],
) -> Report:
    close = None if accounts is None else accounts.close
    return Report(
        function=facts_of(function),
        extension=None if extension is None else tuple(extension),
        cpu_share=cpu_share,
        cpu_share_unavailable=cpu_share_unavailable,
        invocations=tuple(invocations),
        lives=tuple(lives),
        arrived=what_arrived(store),
        accounts=accounts,
        accounts_close=close,
        extension_output=tuple(extension_output),
        ok=close is not False and all(each.as_expected for each in invocations),
    )


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


def build_traces(spans: Iterable[Span]) -> list[Trace]:
    """Spans as trees, in the order in which their traces began. A span whose parent is not there is a root."""
    by_trace: dict[int, dict[int, Span]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, {}).setdefault(span.span_id, span)
    traces = [
        (min(span.start_ns for span in members.values()), trace_id, members) for trace_id, members in by_trace.items()
    ]
    return [
        Trace(trace_id=_trace_id(members), spans=len(members), roots=tuple(_forest(members)))
        for _, _, members in sorted(traces, key=lambda each: each[:2])
    ]


def _trace_id(members: dict[int, Span]) -> str:
    """32 hex digits when any of its spans tells the upper half, else 16."""
    low = next(iter(members.values())).trace_id
    high = next((span.trace_id_high for span in members.values() if span.trace_id_high), 0)
    return f"{high:016x}{low:016x}" if high else f"{low:016x}"


def _forest(members: dict[int, Span]) -> list[SpanNode]:
    children: dict[int, list[Span]] = {}
    for span in sorted(members.values(), key=lambda span: (span.start_ns, -span.duration_ns)):
        parent = span.parent_id if span.parent_id in members and span.parent_id != span.span_id else 0
        children.setdefault(parent, []).append(span)
    placed: set[int] = set()

    def node(span: Span) -> SpanNode:
        placed.add(span.span_id)
        below = [child for child in children.get(span.span_id, ()) if child.span_id not in placed]
        return SpanNode(
            name=span.name,
            service=span.service,
            resource=span.resource,
            duration_ms=span.duration_ns / 1e6,
            error=_error(span),
            span_id=f"{span.span_id:016x}",
            children=tuple(node(child) for child in below),
        )

    roots = [node(span) for span in children.get(0, ())]
    # Spans that are each other's parents hang from nothing: they are shown all the same.
    roots += [node(span) for span in members.values() if span.span_id not in placed]
    return roots


def _error(span: Span) -> str | None:
    if not span.error:
        return None
    kind, message = span.meta.get("error.type", ""), span.meta.get("error.message") or span.meta.get("error.msg", "")
    return ": ".join(part for part in (kind, message) if part) or "error"
