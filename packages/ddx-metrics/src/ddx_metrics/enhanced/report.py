"""Telemetry records → (metric, value) pairs, in the units that enhanced metrics have. Pure.

Names, units and formulas are those of Datadog's documentation, "AWS Lambda enhanced metrics"; where a unit looks odd
(`duration` in seconds, `runtime_duration` in milliseconds) that is what dashboards and monitors rely on.
"""

from __future__ import annotations

from math import floor
from typing import Final

from ddx_core.events import Report, RuntimeDone, SpanTiming

from ..sample import Values

_price_of_request: Final = 0.0000002
_price_of_gb_second: Final = {"x86_64": 0.0000166667, "arm64": 0.0000133334}

most_plausible: Final = 1e15


def _plausible(values: Values) -> Values:
    """Should a platform write nonsense, none of it gets averaged into anybody's dashboards."""
    return [(name, value) for name, value in values if 0 <= value < most_plausible]


def runtime_done_values(event: RuntimeDone) -> Values:
    """runtime_duration, response_latency and response_duration in ms, produced_bytes; as far as they are known."""
    values: Values = []
    if event.metrics is not None:
        values.append(("runtime_duration", event.metrics.duration_ms))
        if event.metrics.produced_bytes is not None:
            values.append(("produced_bytes", float(event.metrics.produced_bytes)))
    return _plausible(values + _response_values(event.spans))


def report_values(event: Report, architecture: str) -> Values:
    """duration and billed_duration in seconds, memory in MB, estimated_cost in US dollars; as far as they are known."""
    metrics = event.metrics
    values: Values = [("duration", metrics.duration_ms * 0.001)]
    if metrics.billed_duration_ms is not None:
        values.append(("billed_duration", metrics.billed_duration_ms * 0.001))
    if metrics.max_memory_used_mb is not None:
        values.append(("max_memory_used", float(metrics.max_memory_used_mb)))
    if metrics.memory_size_mb is not None:
        values.append(("memorysize", float(metrics.memory_size_mb)))
        if metrics.billed_duration_ms is not None:
            cost = estimated_cost(metrics.billed_duration_ms, metrics.memory_size_mb, architecture)
            if cost is not None:
                values.append(("estimated_cost", cost))
    return _plausible(values)


def managed_values(event: Report) -> Values:
    """What a report says where there is no runtimeDone (Managed Instances): runtime_duration and the response's, in ms."""
    latency_ms = span_ms(event.spans, "responseLatency")
    runtime_ms = event.metrics.duration_ms if latency_ms is None else latency_ms
    return _plausible([("runtime_duration", runtime_ms), *_response_values(event.spans)])


def estimated_cost(billed_ms: float, memory_mb: int, architecture: str) -> float | None:
    """US dollars, to twelve decimals: the request and its GB-seconds at the first tier's list price.

    Regional prices, tiers, provisioned concurrency and ephemeral storage are left out. None for an unknown architecture.
    """
    price = _price_of_gb_second.get("arm64" if architecture == "aarch64" else architecture)
    if price is None or not 0 <= billed_ms < most_plausible:
        return None
    gb_seconds = (billed_ms * 0.001) * (memory_mb / 1024)
    return floor((_price_of_request + gb_seconds * price) * 1e12 + 0.5) / 1e12


def post_runtime_duration_ms(report: Report, runtime_done: RuntimeDone) -> float | None:
    """What extensions added after the runtime was done, in ms; None when the runtime's share is not known."""
    if runtime_done.metrics is None or not report.metrics.is_on_demand:
        return None
    return max(0.0, report.metrics.duration_ms - runtime_done.metrics.duration_ms)


def used_all_memory(report: Report) -> bool:
    metrics = report.metrics
    return metrics.memory_size_mb is not None and metrics.max_memory_used_mb == metrics.memory_size_mb


def _response_values(spans: tuple[SpanTiming, ...]) -> Values:
    values: Values = []
    for name, span in (("response_latency", "responseLatency"), ("response_duration", "responseDuration")):
        duration_ms = span_ms(spans, span)
        if duration_ms is not None:
            values.append((name, duration_ms))
    return values


def span_ms(spans: tuple[SpanTiming, ...], name: str) -> float | None:
    """The duration of the span with that name, in ms."""
    return next((span.duration_ms for span in spans if span.name == name), None)
