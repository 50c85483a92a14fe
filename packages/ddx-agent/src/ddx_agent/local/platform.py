"""The local Lambda platform: one function in one sandbox, its Lambda APIs, and an endpoint that AWS SDKs can invoke.

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
from uuid import uuid4

import msgspec
import trio

from ddx_core.http import Limits as HttpLimits
from ddx_core.http import Routes, open_tcp_listener, serve_http

from .apis.extensions import extension_routes
from .apis.runtime import runtime_routes
from .apis.telemetry import telemetry_routes
from .faults import Faults
from .function import Function
from .groups import only
from .invocation import Invocation, InvokeRequest, InvokeResult
from .invocation_log import OnLine
from .invoke_api import invoke_routes
from .plan import ExtensionProgram, LifePlan, Limits
from .port_holders import listen_error
from .processes.cpu_share import CpuShare, open_cpu_share, share_of
from .processes.environment import Credentials, HostFacts, SandboxFacts
from .processes.guard import Guard
from .processes.members import marker_of
from .processes.presence import Presence
from .sandbox import LifeEnd, Sandbox

our_extension = (sys.executable, "-m", "ddx_agent", "extension")
our_extension_name = "datadog-agent"

# A long poll may last for hours and a process be frozen in the middle of a request: only sizes are limited here.
_api_limits = HttpLimits(header_s=3600.0, body_s=3600.0, idle_s=86400.0, answer_s=3600.0)


class Platform:
    """A running platform. `open_platform` makes it."""

    def __init__(
        self, function: Function, sandbox: Sandbox, *, runtime_api: str, invoke_url: str, cpu: CpuShare, limits: Limits
    ) -> None:
        self.function = function
        self.runtime_api = runtime_api
        """`host:port` of the Runtime, Extensions and Telemetry APIs."""
        self.invoke_url = invoke_url
        """What AWS SDKs take as their endpoint URL."""
        self.cpu_share = share_of(function.memory_mb) if cpu.folder is not None else None
        """vCPUs that the sandbox is held to after init; `None` when this machine cannot enforce it."""
        self.cpu_share_unavailable = cpu.unavailable
        self._sandbox = sandbox
        self._retry_delays_s = limits.async_retry_delays_s

    @property
    def life_ends(self) -> Sequence[LifeEnd]:
        """How each life of the sandbox has ended, with its processes' exits."""
        return self._sandbox.life_ends

    def submit(
        self,
        event: object = None,
        *,
        payload: bytes | None = None,
        trace_header: str | None = None,
        client_context: str | None = None,
        request_id: str | None = None,
    ) -> Invocation:
        """Queue an invocation; `responded` and `done` of what is returned tell how far it is. Raises SandboxBusy."""
        active = self.function.tracing == "Active"
        invocation = Invocation(
            InvokeRequest(
                request_id=request_id or str(uuid4()),
                payload=msgspec.json.encode(event) if payload is None else payload,
                function_arn=self.function.arn,
                trace_header=trace_header or new_trace_header(sampled=active),
                client_context=client_context,
            )
        )
        self._sandbox.submit(invocation)
        return invocation

    async def run_event(self, invocation: Invocation) -> InvokeResult:
        """See an asynchronous event that was submitted to its end: after a failure it is tried again, with its own id.

        Lambda retries what went wrong in the function, a timeout and a crash alike. Gives what the last attempt came to.
        """
        result = await invocation.wait_done()
        for delay_s in self._retry_delays_s:
            if result.function_error is None:
                break
            await trio.sleep(delay_s)
            again = Invocation(invocation.request)
            await self._sandbox.enqueue(again)
            result = await again.wait_done()
        return result

    async def invoke(
        self,
        event: object = None,
        *,
        payload: bytes | None = None,
        trace_header: str | None = None,
        client_context: str | None = None,
    ) -> InvokeResult:
        """Run one invocation to its very end, extensions included. `payload` is the event's JSON as it is."""
        invocation = self.submit(event, payload=payload, trace_header=trace_header, client_context=client_context)
        return await invocation.wait_done()

    async def warm(self) -> None:
        """Run INIT before any invocation, as provisioned concurrency does."""
        await self._sandbox.warm()

    async def shutdown(self, reason: str = "spindown") -> LifeEnd | None:
        """End the sandbox's present life; the next invocation is a cold start. `None` when it had no life."""
        before = len(self.life_ends)
        await self._sandbox.shutdown(reason)
        return self.life_ends[-1] if len(self.life_ends) > before else None


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
    facts = SandboxFacts(
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
        credentials=credentials or Credentials(),
    )
    plan = LifePlan(
        function=function,
        facts=facts,
        extensions=tuple(programs),
        presence=presence,
        limits=limits,
        faults=faults,
    )
    cpu = open_cpu_share(f"ddx-{os.getpid()}-{secrets.token_hex(4)}") if cpu_share else CpuShare(None)
    guard = Guard(marker_of(runtime_api), cpu.folder)
    sandbox = Sandbox(plan, cpu=cpu, guard=guard, freeze=freeze, on_line=on_line)
    invoke_url = f"http://{host}:{_port(front)}"
    platform = Platform(function, sandbox, runtime_api=runtime_api, invoke_url=invoke_url, cpu=cpu, limits=limits)
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


def new_trace_header(*, sampled: bool) -> str:
    """A fresh X-Ray header, as Lambda makes one for a caller that sends none."""
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled={int(sampled)}"


def _log_stream() -> str:
    return f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{secrets.token_hex(16)}"
