"""The real dd-trace-py sends profiles, LLM observability and telemetry through the trace agent's port: all of it arrives."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from ddx_core.intake import Endpoint, IntakeClient, StaticKey, open_fanout
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_traces.proxy import Outbox, ProxiedIntakes, ProxySettings
from tests.support.intake import ScriptedIntake
from tests.traces.support import function_tags
from tests.traces.test_routes import Served, serving

pytestmark = pytest.mark.system


@asynccontextmanager
async def proxying() -> AsyncGenerator[tuple[Served, ScriptedIntake]]:
    """A trace agent all of whose proxied intakes are one server."""
    intake = ScriptedIntake()

    def open_outbox(target: str) -> Outbox:
        account = Account(target)
        endpoint = Endpoint(name=target, base_url=intake.url, key=StaticKey("a-key"))
        return Outbox(account, open_fanout(account, [endpoint], client, max_bytes=16 << 20))

    async with trio.open_nursery() as nursery, IntakeClient() as client:
        await intake.start(nursery)
        proxied = ProxiedIntakes(
            ProxySettings(additional_tags="_dd.origin:lambda;functionname:orders"),
            open_outbox=open_outbox,
            tags=function_tags,
            new_id=lambda: "id",
        )
        async with serving(proxied=proxied) as rig:
            yield rig, intake
            await rig.pipeline.flush(FlushKind.FINAL)
        nursery.cancel_scope.cancel()


async def run_program(rig: Served, program: str, environment: Mapping[str, str]) -> bytes:
    done = await trio.run_process(
        [sys.executable, "-c", program],
        env={
            "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{rig.port}",
            "DD_SERVICE": "orders",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_CRASHTRACKING_ENABLED": "false",
            "DD_TRACE_STARTUP_LOGS": "false",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            **environment,
        },
        capture_stdout=True,
        capture_stderr=True,
    )
    return done.stderr


async def requests_after_flush(rig: Served, intake: ScriptedIntake, path: str) -> list[Any]:
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    found = [request for request in intake.requests if request.path == path]
    for request in found:
        assert request.headers.all("dd-api-key") == ["a-key"]
    return found


async def test_profiles_of_the_real_profiler_arrive() -> None:
    program = """
import time
from ddtrace.profiling import Profiler
profiler = Profiler()
profiler.start()
end = time.monotonic() + 0.5
while time.monotonic() < end:
    sum(range(1000))
profiler.stop(flush=True)
"""
    async with proxying() as (rig, intake):
        with trio.fail_after(60):
            said = await run_program(rig, program, {"DD_PROFILING_ENABLED": "true"})
        found = await requests_after_flush(rig, intake, "/api/v2/profile")
        assert found, (said.decode(), [(each.path, each.query) for each in intake.requests])
        for request in found:
            assert request.headers["content-type"].startswith("multipart/form-data")
            assert b".pprof" in request.body
            assert b"service:orders" in request.body
            assert request.headers["x-datadog-additional-tags"] == "_dd.origin:lambda;functionname:orders"


async def test_llm_observability_of_the_real_library_arrives() -> None:
    program = """
from ddtrace.llmobs import LLMObs
LLMObs.enable(ml_app="shop", agentless_enabled=False)
with LLMObs.workflow(name="answer") as span:
    LLMObs.annotate(span, input_data="question", output_data="reply")
LLMObs.flush()
LLMObs.disable()
"""
    async with proxying() as (rig, intake):
        with trio.fail_after(60):
            # Otherwise the library puts what it knows into the spans themselves.
            said = await run_program(rig, program, {"DD_APM_TRACING_ENABLED": "false"})
        found = await requests_after_flush(rig, intake, "/api/v2/llmobs")
        assert found, (said.decode(), [(each.path, each.query) for each in intake.requests])
        events: list[dict[str, Any]] = []
        for request in found:
            body: Any = msgspec.json.decode(request.body)
            events += body if isinstance(body, list) else [body]
        spans: list[dict[str, Any]] = [span for event in events for span in event["spans"]]
        assert [span["name"] for span in spans] == ["answer"]


async def test_instrumentation_telemetry_of_the_real_tracer_arrives() -> None:
    program = """
from ddtrace import tracer
with tracer.trace("work"):
    pass
tracer.flush()
tracer.shutdown()
"""
    async with proxying() as (rig, intake):
        with trio.fail_after(60):
            said = await run_program(rig, program, {"DD_INSTRUMENTATION_TELEMETRY_ENABLED": "true"})
        found = await requests_after_flush(rig, intake, "/api/v2/apmtelemetry")
        assert found, (said.decode(), [(each.path, each.query) for each in intake.requests])
        kinds = {msgspec.json.decode(request.body)["request_type"] for request in found}
        assert kinds & {"app-started", "message-batch"}
        assert {request.headers["dd-client-library-language"] for request in found} == {"python"}
