"""The collector in the README of ddx-traces works as printed, with the real tracer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from ddx_core.http import Route, Routes, open_tcp_listener, serve_http

readme = Path(__file__).parents[2] / "packages/ddx-traces/README.md"

program = """
from ddtrace import tracer
with tracer.trace("web.request", service="shop", resource="GET /"):
    with tracer.trace("postgres.query", service="db", resource="SELECT 1"):
        pass
tracer.flush()
"""


async def test_collector_prints_a_real_tracers_trace_as_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    code = readme.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    assert code.count("\n") < 30
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, str(readme), "exec"), names)
    listener = await open_tcp_listener("127.0.0.1", 0)
    port = listener.socket.getsockname()[1]
    environment = {
        "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{port}",
        "DD_TRACE_API_VERSION": "v0.4",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_CRASHTRACKING_ENABLED": "false",
    }
    async with trio.open_nursery() as nursery:
        route = Route(("POST", "PUT"), "/v0.4/traces", names["take"], max_body=50 << 20)
        await nursery.start(serve_http, [listener], Routes([route]))
        with trio.fail_after(60):
            await trio.run_process([sys.executable, "-c", program], env=environment, capture_stderr=True)
        nursery.cancel_scope.cancel()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("shop: web.request 'GET /', ")
    assert second.startswith("  db: postgres.query 'SELECT 1', ")
