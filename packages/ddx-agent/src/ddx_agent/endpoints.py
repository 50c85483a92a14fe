"""The endpoints on :8124 that tracers, libraries and curious people call. Answers are fast; work goes on elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ddx_core.http import Oversize, Request, Response, Route, Routes, json

# What Lambda itself takes as a payload.
max_event_bytes = 6 << 20
error_headers = (
    "x-datadog-invocation-error-msg",
    "x-datadog-invocation-error-type",
    "x-datadog-invocation-error-stack",
)
request_id_header = "lambda-runtime-aws-request-id"


class _FunctionResult(msgspec.Struct):
    status_code: Any = msgspec.field(name="statusCode", default=None)


_function_result = msgspec.json.Decoder(_FunctionResult)


class LambdaEndpoints:
    """`on_error(request_id or None)` hears of an invocation that its tracer calls failed; `flush` ends an invocation early."""

    def __init__(
        self,
        *,
        flush: Callable[[], Awaitable[None]],
        on_error: Callable[[str | None], None],
        status: Callable[[], Any],
    ) -> None:
        self._flush = flush
        self._on_error = on_error
        self._status = status

    def routes(self) -> Routes:
        def takes_event(path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
            # An event above the limit is not the function's fault: it is processed without its body.
            return Route(("POST",), path, handler, max_body=max_event_bytes, oversize=Oversize.DISCARD)

        return Routes(
            [
                Route(("GET",), "/lambda/hello", self._hello),
                Route(("POST",), "/lambda/flush", self._flush_now),
                takes_event("/lambda/start-invocation", self._start),
                takes_event("/lambda/end-invocation", self._end),
                Route(("GET",), "/ddx/status", self._show_status),
            ]
        )

    async def _hello(self, request: Request) -> Response:
        return _empty_object()

    async def _flush_now(self, request: Request) -> Response:
        await self._flush()
        return _empty_object()

    async def _start(self, request: Request) -> Response:
        return _empty_object()

    async def _end(self, request: Request) -> Response:
        if is_failed(request):
            self._on_error(request.headers.get(request_id_header) or None)
        return _empty_object()

    async def _show_status(self, request: Request) -> Response:
        return json(self._status())


def is_failed(request: Request) -> bool:
    """Whether an end-invocation call tells of an error: by its headers, or by a status of 5xx in the function's result."""
    headers = request.headers
    if headers.get("x-datadog-invocation-error", "").lower() == "true":
        return True
    if any(name in headers for name in error_headers):
        return True
    try:
        status = _function_result.decode(request.body).status_code
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False
    return isinstance(status, int) and not isinstance(status, bool) and 500 <= status <= 599


def _empty_object() -> Response:
    return Response(body=b"{}")
