"""Telemetry records → enhanced metrics' values, by the records AWS documents."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ddx_core.events import Report, RuntimeDone, parse_telemetry
from ddx_metrics.enhanced.report import (
    estimated_cost,
    post_runtime_duration_ms,
    report_values,
    runtime_done_values,
    used_all_memory,
)

request_id = "6f7f0961f83442118a7af6fe80b88d56"


def event(type: str, **record: Any) -> Any:
    """An event as the Telemetry API delivers it, parsed by core."""
    body = [{"time": "2022-10-12T00:00:15.064Z", "type": type, "record": {"requestId": request_id, **record}}]
    batch = parse_telemetry(msgspec.json.encode(body))
    assert not batch.skipped
    return batch.events[0]


def runtime_done(**record: Any) -> RuntimeDone:
    return event("platform.runtimeDone", **{"status": "success", **record})


def report(**metrics: Any) -> Report:
    return event("platform.report", status="success", metrics=metrics)


on_demand = {"durationMs": 2599.4, "billedDurationMs": 2600, "memorySizeMB": 128, "maxMemoryUsedMB": 94}


def test_a_runtime_done_record_tells_milliseconds_and_bytes() -> None:
    spans = [
        {"name": "responseLatency", "start": "2022-10-12T00:00:15.064Z", "durationMs": 23.02},
        {"name": "responseDuration", "start": "2022-10-12T00:00:15.064Z", "durationMs": 20.0},
        {"name": "runtimeOverhead", "start": "2022-10-12T00:00:15.064Z", "durationMs": 1.0},
    ]
    done = runtime_done(metrics={"durationMs": 2599.0, "producedBytes": 8}, spans=spans)
    assert runtime_done_values(done) == [
        ("runtime_duration", 2599.0), ("produced_bytes", 8.0), ("response_latency", 23.02), ("response_duration", 20.0),
    ]  # fmt: skip


def test_a_runtime_done_record_without_metrics_tells_none() -> None:
    assert runtime_done_values(runtime_done()) == []
    assert runtime_done_values(runtime_done(metrics={"durationMs": 1.5})) == [("runtime_duration", 1.5)]
    assert runtime_done_values(runtime_done(metrics={"durationMs": 0, "producedBytes": 0})) == [
        ("runtime_duration", 0.0), ("produced_bytes", 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("architecture", "cost"), [("x86_64", 5.616678e-06), ("arm64", 4.533355e-06)])
def test_a_report_tells_seconds_memory_and_dollars(architecture: str, cost: float) -> None:
    values = dict(report_values(report(**on_demand), architecture))
    assert values == {
        "duration": pytest.approx(2.5994), "billed_duration": pytest.approx(2.6), "memorysize": 128.0,
        "max_memory_used": 94.0, "estimated_cost": cost,
    }  # fmt: skip


@pytest.mark.parametrize("value", [-1.0, 1e300, 1e15])
def test_nonsense_from_the_platform_is_not_averaged_into_anything(value: float) -> None:
    names = set(
        dict(report_values(report(**{**on_demand, "durationMs": value * 1000, "billedDurationMs": 10**300}), "arm64"))
    )
    assert names == {"memorysize", "max_memory_used"}
    assert not runtime_done_values(runtime_done(metrics={"durationMs": value}))


def test_a_managed_instances_report_tells_the_duration_alone() -> None:
    assert report_values(report(durationMs=1.148), "arm64") == [("duration", pytest.approx(0.001148))]


@pytest.mark.parametrize(
    ("billed_ms", "memory_mb", "x86_64", "arm64"),
    [
        (1, 128, 2.02083e-07, 2.01667e-07),
        (100, 256, 6.16668e-07, 5.33335e-07),
        (800, 128, 1.86667e-06, 1.53334e-06),
        (1000, 1024, 1.68667e-05, 1.35334e-05),
        (2600, 128, 5.616678e-06, 4.533355e-06),
        (900000, 10240, 0.1500005, 0.1200008),
    ],
)
def test_the_cost_is_that_of_the_request_and_its_gigabyte_seconds(
    billed_ms: float, memory_mb: int, x86_64: float, arm64: float
) -> None:
    assert estimated_cost(billed_ms, memory_mb, "x86_64") == pytest.approx(x86_64, abs=5e-13)
    assert estimated_cost(billed_ms, memory_mb, "arm64") == pytest.approx(arm64, abs=5e-13)
    assert estimated_cost(billed_ms, memory_mb, "aarch64") == estimated_cost(billed_ms, memory_mb, "arm64")


def test_an_unknown_architecture_has_no_cost() -> None:
    assert estimated_cost(100, 128, "riscv64") is None
    assert "estimated_cost" not in dict(report_values(report(**on_demand), "riscv64"))


@pytest.mark.parametrize(
    ("metrics", "expected"), [({"durationMs": 2599.0}, 0.4), ({"durationMs": 0}, 2599.4), ({"durationMs": 3000}, 0.0)]
)
def test_post_runtime_duration_is_what_came_after_and_never_negative(
    metrics: dict[str, float], expected: float
) -> None:
    done = runtime_done(metrics=metrics)
    assert post_runtime_duration_ms(report(**on_demand), done) == pytest.approx(expected)


def test_post_runtime_duration_needs_both_records() -> None:
    assert post_runtime_duration_ms(report(**on_demand), runtime_done()) is None
    assert post_runtime_duration_ms(report(durationMs=5), runtime_done(metrics={"durationMs": 1})) is None


def test_memory_is_used_up_when_all_of_it_was() -> None:
    assert used_all_memory(report(**{**on_demand, "maxMemoryUsedMB": 128}))
    assert not used_all_memory(report(**on_demand))
    assert not used_all_memory(report(durationMs=5))
