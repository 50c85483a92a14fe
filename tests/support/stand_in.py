"""A stand-in for Lambda's control interfaces, small enough to be read at once: answers register and subscribe, hands out events.

The local platform (ddx_agent.local) is the faithful one; this one lets a test decide each answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from ddx_core.http import Request, Response, Route, Routes, open_tcp_listener, serve_http
from ddx_core.http import json as json_response
from tests.support.intake import at_once

identifier = "11111111-2222-3333-4444-555555555555"


class StandIn:
    """`calls` lists what was asked, in order. `next` blocks until the test gives an event."""

    def __init__(self, *, register_status: int = 200, telemetry_status: int = 200) -> None:
        self.register_status = register_status
        self.telemetry_status = telemetry_status
        self.calls: list[str] = []
        self.bodies: list[Any] = []
        self.port = 0
        self.next_pending = trio.Event()
        self.subscribed = trio.Event()
        self._give, self._events = trio.open_memory_channel[dict[str, Any]](16)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def routes(self) -> Routes:
        return Routes(
            [
                Route(("POST",), "/2020-01-01/extension/register", self._register),
                Route(("GET",), "/2020-01-01/extension/event/next", self._next),
                Route(("PUT",), "/2022-07-01/telemetry", self._subscribe),
            ]
        )

    async def invoke(self, request_id: str, *, deadline_s: float = 30.0) -> None:
        """Hand out INVOKE; returns at once."""
        await self._give.send(
            {
                "eventType": "INVOKE",
                "requestId": request_id,
                "deadlineMs": int((time.time() + deadline_s) * 1000),
                "invokedFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
            }
        )

    async def shutdown(self, reason: str = "spindown", *, within_s: float = 2.0) -> None:
        deadline_ms = int((time.time() + within_s) * 1000)
        await self._give.send({"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms})

    async def asked_for_next(self) -> None:
        """Wait until a call of next is pending."""
        await self.next_pending.wait()

    async def _register(self, request: Request) -> Response:
        self.calls.append("register")
        self.bodies.append(json.loads(request.body))
        if self.register_status != 200:
            return json_response(
                {"errorType": "Extension.InvalidExtensionName", "errorMessage": "no"}, self.register_status
            )
        body = {"functionName": "orders", "functionVersion": "$LATEST", "handler": "h", "accountId": "123456789012"}
        return json_response(body, headers=(("Lambda-Extension-Identifier", identifier),))

    async def _subscribe(self, request: Request) -> Response:
        self.calls.append("subscribe")
        self.bodies.append(json.loads(request.body))
        self.subscribed.set()
        return json_response("OK", self.telemetry_status)

    async def _next(self, request: Request) -> Response:
        assert request.headers["lambda-extension-identifier"] == identifier
        self.calls.append("next")
        self.next_pending.set()
        event = await self._events.receive()
        self.next_pending = trio.Event()
        return json_response(event)


@asynccontextmanager
async def open_stand_in(**answers: int) -> AsyncGenerator[StandIn]:
    stand_in = StandIn(**answers)
    listener = await open_tcp_listener("127.0.0.1", 0)
    stand_in.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_http, limits=at_once), [listener], stand_in.routes())
        yield stand_in
        nursery.cancel_scope.cancel()
