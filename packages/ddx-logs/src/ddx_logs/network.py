"""The network log intake: adapters in other processes post arrays of log entries. For containers, where no platform hands
logs over.

Rule: an array is taken whole or refused whole, and a refusal says why. The paths and answers are those of the vendor's
`datadog-logs-agent`, whose adapters are the clients here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ddx_core.errors import MalformedInput
from ddx_core.http import Request, Response, Route, Routes, text

from .entries import Entry, read_entries

default_port: Final = 10517
path: Final = "/v1/input"
max_body: Final = 4 << 20
"""Bytes of one request; above it the answer is 413 and the rest is not read."""


def network_routes(take: Callable[[Entry], None]) -> Routes:
    """Routes to serve on `default_port`. `take` gets every entry of every good request, in order."""

    async def receive(request: Request) -> Response:
        try:
            entries = read_entries(request.body)
        except MalformedInput as error:
            return text(f"invalid JSON: {error}", 400)
        for entry in entries:
            take(entry)
        return text("ok")

    return Routes(
        [
            Route(("POST",), path, receive, max_body=max_body, too_large="payload too large"),
            Route(("*",), "/{rest*}", _elsewhere),
        ]
    )


async def _elsewhere(request: Request) -> Response:
    return text("not found", 404) if request.method == "POST" else text("method not allowed", 405)
