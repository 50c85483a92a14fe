"""A platform is opened: one function in one sandbox, its Lambda APIs, and an endpoint that AWS SDKs can invoke.

async with open_platform(load_function(folder), extension_command=[...]) as platform:
    result = await platform.invoke({"order": 7})
    await platform.shutdown("spindown")
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from ddx_core.http import Limits as HttpLimits
from ddx_core.http import Routes, open_tcp_listener, serve_http

from ..apis.extensions import extension_routes
from ..apis.runtime import runtime_routes
from ..apis.telemetry import telemetry_routes
from ..faults import Faults
from ..function import Function
from ..groups import only
from ..ports.holders import listen_error
from ..processes.cpu_share import CpuShare, open_cpu_share
from ..processes.environment import Credentials, HostFacts, SandboxFacts
from ..processes.guard import Guard
from ..processes.members import marker_of
from ..processes.presence import Presence
from ..sandbox.invocation_log import OnLine
from ..sandbox.plan import ExtensionProgram, LifePlan, Limits
from ..sandbox.sandbox import Sandbox
from .invoke_api import invoke_routes
from .platform import Platform

our_extension = (sys.executable, "-m", "ddx_agent", "extension")
our_extension_name = "datadog-agent"

# A long poll may last for hours and a process be frozen in the middle of a request: only sizes are limited here.
_api_limits = HttpLimits(header_s=3600.0, body_s=3600.0, idle_s=86400.0, answer_s=3600.0)


@asynccontextmanager
async def open_platform(
    function: Function,
    *,
    extension_command: Sequence[str] | None = our_extension,
    extension_name: str | None = our_extension_name,
    extension_environment: Mapping[str, str] | None = None,
    other_extensions: Sequence[ExtensionProgram] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    freeze: bool = True,
    cpu_share: bool = True,
    presence: Presence = Presence.AUTO,
    limits: Limits | None = None,
    faults: Faults | None = None,
    credentials: Credentials | None = None,
    initialization_type: str = "on-demand",
    on_line: OnLine | None = None,
) -> AsyncGenerator[Platform]:
    """Run a platform for one function until the block is left; a sandbox that still lives is then shut down.

    `extension_command` is any external extension, `None` for none; without `extension_name` it is known by the name it
    registers with. `extension_environment` reaches the extension alone. `port` is the invoke endpoint's. `on_line` is
    told of every line that is printed, with its source. What the block raises comes out as it is, not in a group.
    """
    programs = [*other_extensions]
    if extension_command is not None:
        own = ExtensionProgram(
            command=tuple(extension_command), name=extension_name, environment=dict(extension_environment or {})
        )
        programs.insert(0, own)
    limits, faults = limits or Limits(), faults or Faults()
    api = await open_tcp_listener("127.0.0.1", 0)
    try:
        front = await open_tcp_listener(host, port)
    except OSError as error:
        await api.aclose()
        raise listen_error(error, host, port, "the invoke endpoint") from error
    runtime_api = f"127.0.0.1:{_port(api)}"
    plan = LifePlan(
        function=function,
        facts=_sandbox_facts(function, runtime_api, initialization_type, credentials or Credentials()),
        extensions=tuple(programs),
        presence=presence,
        limits=limits,
        faults=faults,
    )
    cpu = open_cpu_share(f"ddx-{os.getpid()}-{secrets.token_hex(4)}") if cpu_share else CpuShare(None)
    guard = Guard(marker_of(runtime_api), cpu.folder)
    sandbox = Sandbox(plan, cpu=cpu, guard=guard, freeze=freeze, on_line=on_line)
    invoke_url = f"http://{host}:{_port(front)}"
    platform = Platform(
        function,
        sandbox,
        runtime_api=runtime_api,
        invoke_url=invoke_url,
        cpu=cpu,
        retry_delays_s=limits.async_retry_delays_s,
    )
    current = sandbox.current_control
    api_routes = [*runtime_routes(current), *extension_routes(current), *telemetry_routes(current, faults)]
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve_api, api, Routes(api_routes))
            await nursery.start(serve_http, [front], Routes(invoke_routes(platform, nursery)))
            nursery.start_soon(sandbox.serve)
            yield platform
            await platform.shutdown()
            nursery.cancel_scope.cancel("the platform is closed")
    except BaseExceptionGroup as group:
        failure = only(group)
    finally:
        guard.close()
        cpu.close()
    if failure is not None:
        raise failure


async def _serve_api(
    listener: trio.SocketListener,
    routes: Routes,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await serve_http([listener], routes, limits=_api_limits, task_status=task_status)


def _port(listener: trio.SocketListener) -> int:
    port: int = listener.socket.getsockname()[1]
    return port


def _sandbox_facts(
    function: Function, runtime_api: str, initialization_type: str, credentials: Credentials
) -> SandboxFacts:
    return SandboxFacts(
        function_name=function.name,
        function_version=function.version,
        handler=function.handler,
        memory_mb=function.memory_mb,
        region=function.region,
        runtime_api=runtime_api,
        task_root=str(function.folder),
        log_stream=_log_stream(),
        initialization_type=initialization_type,
        execution_env=function.execution_env,
        json_logs=function.log_format == "JSON",
        host=HostFacts.of(os.environ),
        credentials=credentials,
    )


def _log_stream() -> str:
    return f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{secrets.token_hex(16)}"
