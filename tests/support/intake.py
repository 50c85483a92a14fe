"""An intake that answers by script: a real HTTP server on a loopback port, on Trio, or in a thread for other event loops."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import anyio
import trio

from ddx_core.http import Hangup, Limits, Request, Response, Route, Routes, open_tcp_listener, serve_http, text

hang = "hang"
"""A step of a script: take the request and never answer."""

Step = int | Response | Hangup | str | Callable[[Request], Any]


def with_retry_after(status: int, value: str) -> Response:
    return Response(status=status, body=b"slow down", headers=(("Retry-After", value),))


at_once = Limits(grace_s=0.0)
"""A server that ends with its test leaves no request a moment to be answered: many will never be."""


class ScriptedIntake:
    """Answers the first request by the first step, and so on; `otherwise` when the script is over. Keeps what it got.

    A step is a status, a Response, a Hangup (reset), `hang`, or a callable (plain or async) from the request to one.
    """

    def __init__(self, script: Sequence[Step] = (), *, otherwise: Step = 202) -> None:
        self._script = list(script)
        self._otherwise = otherwise
        self.requests: list[Request] = []
        self.url = ""
        self.arrived = trio.Event()
        """Set when a request has come; a test may put a new one in its place."""

    @property
    def bodies(self) -> list[bytes]:
        return [request.body for request in self.requests]

    @property
    def connections(self) -> int:
        """How many connections the requests came on."""
        return len({request.peer for request in self.requests})

    def then(self, *steps: Step) -> None:
        self._script.extend(steps)

    async def _handle(self, request: Request) -> Response:
        self.requests.append(request)
        self.arrived.set()
        return await self._carry_out(self._script.pop(0) if self._script else self._otherwise, request)

    async def _carry_out(self, step: Any, request: Request) -> Response:
        if callable(step):
            step = step(request)
            if hasattr(step, "__await__"):
                step = await step
            return await self._carry_out(step, request)
        if isinstance(step, int):
            return text("{}", step)
        if step == hang:
            await trio.sleep_forever()
        if isinstance(step, Hangup):
            raise step
        assert isinstance(step, Response)
        return step

    async def start(self, nursery: trio.Nursery) -> ScriptedIntake:
        """Serve in `nursery` until that is cancelled."""
        routes = Routes([Route(("*",), "/{rest*}", self._handle, max_body=64 << 20)])
        listener = await open_tcp_listener("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        await nursery.start(partial(serve_http, limits=at_once), [listener], routes)
        return self


class Served(Protocol):
    async def start(self, nursery: trio.Nursery) -> object: ...


@contextmanager
def intake_in_a_thread(*intakes: Served) -> Generator[None]:
    """Serve from a Trio of its own, so that the test itself can run on asyncio."""
    if not intakes:
        yield
        return
    ready = threading.Event()
    handle: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for intake in intakes:
                await intake.start(nursery)
            handle.append((trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            ready.set()

    def run() -> None:
        try:
            trio.run(main)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        assert handle, "the intake's thread has failed"
        yield
    finally:
        if handle:
            token, scope = handle[0]
            token.run_sync_soon(scope.cancel)
        thread.join(10)


def run_on(backend: str, scenario: Callable[[], Awaitable[Any]], *intakes: Served) -> Any:
    """The scenario on Trio or asyncio, for at most 20 s, with the intakes in a thread of their own."""

    async def main() -> Any:
        with anyio.fail_after(20):
            return await scenario()

    with intake_in_a_thread(*intakes):
        return anyio.run(main, backend=backend)


async def requests_at(intake: ScriptedIntake, count: int) -> None:
    """Until so many requests have come to an intake that lives in another thread."""
    while len(intake.requests) < count:  # noqa: ASYNC110 - no event crosses from thread to thread
        await anyio.sleep(0.005)
