"""Spans of the real dd-trace-py with secrets in them: the intake sees none, nor do the statistics."""

from __future__ import annotations

import sys

import msgspec
import pytest
import trio

from ddx_core.pipeline import FlushKind
from ddx_traces.obfuscate import ObfuscationSettings
from ddx_traces.pipeline import TracesSettings
from tests.traces.support import body_of
from tests.traces.test_routes import serving

pytestmark = pytest.mark.system

program = """
from ddtrace import tracer
with tracer.trace("postgres.query", service="db", resource="SELECT * FROM users WHERE name = 'hunter2' AND id IN (1, 2)", span_type="sql"):
    pass
with tracer.trace("redis.command", service="cache", resource="SET session:hunter2 hunter2", span_type="redis") as span:
    span.set_tag("redis.raw_command", "SET session:hunter2 hunter2")
with tracer.trace("pay", service="shop") as span:
    span.set_tag("card", "4111111111111111")
with tracer.trace("http.request", service="shop", span_type="http") as span:
    span.set_tag("http.url", "https://user:hunter2@shop.example/orders/123?token=hunter2")
tracer.flush()
tracer.shutdown()
"""  # noqa: E501


@pytest.mark.parametrize("tracer_counts", ["false", "true"])
async def test_no_secret_of_a_span_leaves(tracer_counts: str) -> None:
    settings = TracesSettings(
        computes_stats=True,
        tracers_may_drop=tracer_counts == "true",
        obfuscation=ObfuscationSettings(redis=True, redis_removes_arguments=True, removes_query=True, cards=True),
    )
    async with serving(settings) as rig:
        with trio.fail_after(60):
            await trio.run_process(
                [sys.executable, "-c", program],
                env={
                    "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{rig.port}",
                    "DD_TRACE_STATS_COMPUTATION_ENABLED": tracer_counts,
                    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
                    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
                    "DD_CRASHTRACKING_ENABLED": "false",
                },
                capture_stderr=True,
            )
        await rig.pipeline.flush(FlushKind.FINAL)
        assert len(rig.intake.spans) == 4
        for payload in rig.intake.payloads:
            assert b"hunter2" not in body_of(payload)
            assert b"4111111111111111" not in body_of(payload)
        resources = {span["resource"] for span in rig.intake.spans}
        assert "SELECT * FROM users WHERE name = ? AND id IN ( ? )" in resources
        (stats,) = rig.intake.stats
        groups = [
            group
            for each in msgspec.msgpack.decode(body_of(stats))["Stats"]
            for bucket in each["Stats"]
            for group in bucket["Stats"]
        ]
        assert "SELECT * FROM users WHERE name = ? AND id IN ( ? )" in {group["Resource"] for group in groups}
