"""What is done with an open platform: invoke its function, warm its sandbox, end it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from uuid import uuid4

import msgspec
import trio

from ..function import Function
from ..invocation import Invocation, InvokeRequest, InvokeResult
from ..processes.cpu_share import CpuShare, share_of
from ..sandbox.sandbox import LifeEnd, Sandbox


class Platform:
    """A running platform. `open_platform` makes it."""

    def __init__(
        self,
        function: Function,
        sandbox: Sandbox,
        *,
        runtime_api: str,
        invoke_url: str,
        cpu: CpuShare,
        retry_delays_s: Sequence[float],
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
        self._retry_delays_s = retry_delays_s

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
                trace_header=trace_header or _new_trace_header(sampled=active),
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


def _new_trace_header(*, sampled: bool) -> str:
    """A fresh X-Ray header, as Lambda makes one for a caller that sends none."""
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled={int(sampled)}"
