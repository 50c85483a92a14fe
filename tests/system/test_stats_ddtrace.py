"""The real dd-trace-py, with its own statistics and with the agent's: the counts are those of what the program made."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest
import trio

from ddx_core.clock import now_ns
from ddx_core.pipeline import FlushKind
from ddx_core.proto.ddsketch_pb2 import DDSketch
from ddx_traces.settings import TracesSettings
from tests.traces.support import body_of
from tests.traces.test_routes import Served, serving

pytestmark = pytest.mark.system

# Ten requests of one resource, of which two fail; each calls a database; every second trace is not to be kept.
program = """
from ddtrace.trace import tracer
for number in range(10):
    with tracer.trace("web.request", service="orders", resource="GET /orders", span_type="web") as root:
        root.set_tag("span.kind", "server")
        root.set_tag("http.status_code", "500" if number < 2 else "200")
        root.set_tag("manual.drop" if number % 2 else "manual.keep")
        if number < 2:
            root.error = 1
        with tracer.trace("postgres.query", service="postgres", resource="SELECT 1", span_type="sql") as call:
            call.set_tag("span.kind", "client")
            call.set_tag("out.host", "10.0.0.7")
        with tracer.trace("inner"):
            pass
tracer.shutdown()
"""


async def run(rig: Served, **environment: str) -> None:
    await trio.run_process(
        [sys.executable, "-c", program],
        env={
            "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{rig.port}",
            "DD_SERVICE": "orders",
            "DD_ENV": "prod",
            "DD_VERSION": "1.2",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_CRASHTRACKING_ENABLED": "false",
            "DD_TRACE_STARTUP_LOGS": "false",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            **environment,
        },
        capture_stdout=True,
        capture_stderr=True,
    )
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()


def sent(rig: Served) -> list[dict[str, Any]]:
    return [each for payload in rig.intake.stats for each in msgspec.msgpack.decode(body_of(payload))["Stats"]]


def by_kind(stats: list[dict[str, Any]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for each in stats:
        for bucket in each["Stats"]:
            for group in bucket["Stats"]:
                found.setdefault((group["Name"], group["HTTPStatusCode"]), []).append(group)
    return found


def check_counts(stats: list[dict[str, Any]]) -> None:
    found = by_kind(stats)
    assert found.keys() == {("web.request", 500), ("web.request", 200), ("postgres.query", 0)}
    sums = {
        key: tuple(sum(group[name] for group in groups) for name in ("Hits", "Errors", "TopLevelHits"))
        for key, groups in found.items()
    }
    assert sums == {
        ("web.request", 500): (2, 2, 2),
        ("web.request", 200): (8, 0, 8),
        ("postgres.query", 0): (10, 0, 10),
    }
    for group in found["postgres.query", 0]:
        assert (group["SpanKind"], group["Type"], group["IsTraceRoot"]) == ("client", "sql", 2)
        assert group["PeerTags"] == ["_dd.base_service:orders", "out.host:blocked-ip-address"]
        sketch = DDSketch.FromString(group["OkSummary"])
        assert sum(sketch.positiveValues.contiguousBinCounts) + sketch.zeroCount == group["Hits"]
        assert sketch.mapping.gamma == 1.015625
    for each in stats:
        assert (each["Env"], each["Version"], each["Lang"], each["Hostname"]) == ("prod", "1.2", "python", "")


@pytest.mark.parametrize("version", ["v0.4", "v0.5"])
async def test_spans_of_the_real_tracer_are_counted_before_sampling(version: str) -> None:
    with trio.fail_after(60):
        async with serving(settings=TracesSettings(computes_stats=True), now_ns=now_ns) as rig:
            await run(rig, DD_TRACE_API_VERSION=version)
            check_counts(sent(rig))
            assert len(rig.intake.spans) == 15
            assert rig.dropped("not_sampled") == 15
            assert sent(rig)[0]["RuntimeID"]


async def test_statistics_of_the_real_tracer_are_passed_on_and_not_made_twice() -> None:
    with trio.fail_after(60):
        async with serving(settings=TracesSettings(computes_stats=True, tracers_may_drop=True), now_ns=now_ns) as rig:
            await run(rig, DD_TRACE_STATS_COMPUTATION_ENABLED="true")
            check_counts(sent(rig))
