"""The trace agent's HTTP routes, as tracers know them. Handlers hand over to the stores; they hold nothing themselves.

Rule of this file: a request is refused before any of it was taken, or taken to its end. A long one is taken in slices with
a pause between them, so that others get their turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import msgspec

from ddx_core import log
from ddx_core.errors import MalformedInput
from ddx_core.http import Request, Response, Route, Routes, text

from ..settings import TracesSettings
from ..span import priority_unset
from ..stats import StatsStore, decode_client_stats
from ..store import TraceStore
from ..wire import TracePart
from .body import BodyTooLarge, UnknownCoding, decode_body
from .decode_v04 import decode_v04
from .decode_v05 import decode_v05
from .headers import read_tracer_payload

type_json: Final = "application/json"
retry_after_s: Final = 1
# About a millisecond's work on the machines this was measured on.
slice_bytes: Final = 32 << 10

paths: Final = ("/v0.4/traces", "/v0.5/traces", "/v0.6/stats", "/info")

# An empty map of rates leaves sampling to the tracer's own settings.
_rates = b'{"rate_by_service":{}}'


class TraceRoutes:
    """`pause` lets others have their turn (`trio.lowlevel.checkpoint`); `more` are routes of others, served and listed too."""

    def __init__(
        self,
        settings: TracesSettings,
        store: TraceStore,
        stats: StatsStore,
        pause: Callable[[], Awaitable[None]],
        *,
        more: Sequence[Route] = (),
    ) -> None:
        self._settings = settings
        self._more = tuple(more)
        # `client_drop_p0s` false keeps tracers from leaving out unsampled traces, which the backend needs for its statistics.
        self._info = msgspec.json.encode(
            {
                "endpoints": [*paths, *dict.fromkeys(route.path for route in self._more)],
                "client_drop_p0s": False,
                "span_meta_structs": True,
                "span_events": True,
            }
        )
        self._store = store
        self._stats = stats
        self._pause = pause

    def routes(self) -> Routes:
        settings = self._settings
        update = ("POST", "PUT")
        return Routes(
            [
                Route(update, "/v0.4/traces", self._take_v04, max_body=settings.max_request_bytes),
                Route(update, "/v0.5/traces", self._take_v05, max_body=settings.max_request_bytes),
                Route(update, "/v0.6/stats", self._take_stats, max_body=settings.max_stats_request_bytes),
                Route(("*",), "/info", self._tell_info),
                *self._more,
            ]
        )

    async def _take_v04(self, request: Request) -> Response:
        return await self._take_traces(request, decode_v04)

    async def _take_v05(self, request: Request) -> Response:
        return await self._take_traces(request, decode_v05)

    async def _take_traces(self, request: Request, decode: Callable[[bytes], Iterator[TracePart]]) -> Response:
        if not self._store.make_room():
            log.warning("tracer_put_off", path=request.path, bytes=len(request.body))
            return _put_off(_rates, type_json)
        try:
            body = decode_body(
                request.body, request.headers.get("content-encoding"), max_bytes=self._settings.max_request_bytes
            )
            traces = decode(body)
        except MalformedInput as error:
            self._store.refuse(len(request.body))
            return _refusal(request, error)
        payload = read_tracer_payload(request.headers)
        priority = priority_unset
        done = 0
        for part in traces:
            priority = self._store.add(
                part.read.spans,
                payload,
                size=part.size,
                malformed=part.read.malformed,
                too_large=part.too_large,
                priority=priority if part.continues else priority_unset,
            )
            done += part.size
            if done >= slice_bytes:
                done = 0
                await self._pause()
        return Response(status=200, body=_rates, content_type=type_json)

    async def _take_stats(self, request: Request) -> Response:
        try:
            body = decode_body(
                request.body, request.headers.get("content-encoding"), max_bytes=self._settings.max_stats_request_bytes
            )
            stats = decode_client_stats(body)
        except MalformedInput as error:
            self._stats.refuse(len(request.body))
            return _refusal(request, error)
        if not stats.stats:
            return text("Empty stats payload; nothing to aggregate.", 202)
        if not self._stats.add(stats, len(body)):
            log.warning("tracer_put_off", path=request.path, bytes=len(request.body))
            return _put_off(b"The buffer for statistics is full\n", "text/plain; charset=utf-8")
        return text("Successfully buffered stats to be aggregated.", 202)

    async def _tell_info(self, request: Request) -> Response:
        return Response(status=200, body=self._info, content_type=type_json)


def _put_off(body: bytes, content_type: str) -> Response:
    return Response(status=429, body=body, content_type=content_type, headers=(("Retry-After", str(retry_after_s)),))


def _refusal(request: Request, error: MalformedInput) -> Response:
    match error:
        case BodyTooLarge():
            status = 413
        case UnknownCoding():
            status = 415
        case _:
            status = 400
    log.warning("tracer_refused", path=request.path, status=status, bytes=len(request.body), reason=str(error))
    return text(f"{request.path}: {error}\n", status)
