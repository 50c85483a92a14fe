"""The examples in the README of ddx-traces work as printed, with the real tracer."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import trio

readme = Path(__file__).parents[2] / "packages/ddx-traces/README.md"

program = """
from ddtrace import tracer
with tracer.trace("web.request", service="shop", resource="GET /"):
    with tracer.trace("postgres.query", service="db", resource="SELECT 1"):
        pass
tracer.flush()
"""


def environment(port: int) -> dict[str, str]:
    return {
        "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{port}",
        "DD_TRACE_API_VERSION": "v0.4",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_CRASHTRACKING_ENABLED": "false",
    }


def example(number: int) -> dict[str, Any]:
    """The names that the README's nth example defines."""
    code = readme.read_text(encoding="utf-8").split("```python\n")[number + 1].partition("```")[0]
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, str(readme), "exec"), names)
    names["lines"] = sum(
        1 for line in code.splitlines() if line and not line.startswith(("import", "from", "if __name"))
    )
    return names


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return bound.getsockname()[1]


def status_of_a_bad_body(port: int) -> int:
    """Asked once the server is there, with a body that is no MessagePack."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("PUT", "/v0.4/traces", b"\xc1")
        return connection.getresponse().status


async def test_collector_prints_a_real_tracers_trace_as_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    names = example(0)
    assert names["lines"] <= 15
    port = free_port()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(names["main"], port)
        with trio.fail_after(60):
            await trio.run_process([sys.executable, "-c", program], env=environment(port), capture_stderr=True)
            assert await trio.to_thread.run_sync(status_of_a_bad_body, port) == 400
        nursery.cancel_scope.cancel()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("shop: web.request 'GET /', ")
    assert second.startswith("  db: postgres.query 'SELECT 1', ")


def test_agents_steps_serve_an_asyncio_program(capsys: pytest.CaptureFixture[str]) -> None:
    names = example(1)
    port = free_port()

    async def main() -> None:
        serving = asyncio.create_task(names["main"](port))
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment(port))
        await asyncio.wait_for(child.wait(), 60)
        assert await asyncio.to_thread(status_of_a_bad_body, port) == 400
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(main())
    assert capsys.readouterr().out == "python 1 ['GET /', 'SELECT 1']\n"
