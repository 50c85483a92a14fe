"""The trace agent's HTTP routes, as tracers know them. Handlers hand over to the stores; they hold nothing themselves.

Rule of this file: a request is refused before any of it was taken, or taken to its end. A long one is taken in slices with
a pause between them, so that others get their turn; when the process ends in a pause, the rest is counted as lost. Forms
that few tracers use are imported when one does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ddx_core import log
from ddx_core.errors import MalformedInput
from ddx_core.http import Handler, Request, Response, Route, Routes, text

from ..parts import OpenedPayload, Traces
from ..process import Normalizer
from ..settings import TracesSettings
from ..span import TracerPayload
from ..stats import StatsStore, decode_client_stats
from ..store import TraceStore
from .body import BodyTooLarge, UnknownCoding, decode_body
from .decode_v04 import decode_v04
from .decode_v05 import decode_v05
from .headers import complete, read_tracer_payload

if TYPE_CHECKING:
    from .info import Info

type_json: Final = "application/json"
type_text: Final = "text/plain; charset=utf-8"
retry_after_s: Final = 1
# About a millisecond's work on the machines this was measured on.
slice_bytes: Final = 32 << 10

paths: Final = (
    "/v0.3/traces",
    "/v0.3/services",
    "/v0.4/traces",
    "/v0.4/services",
    "/v0.5/traces",
    "/v0.7/traces",
    "/v1.0/traces",
    "/v0.6/stats",
    "/info",
)

# An empty map of rates leaves sampling to the tracer's own settings. It never changes, and so has one version for ever.
_rates = b'{"rate_by_service":{}}'
_rates_version: Final = "1"
_version_header: Final = "Datadog-Rates-Payload-Version"
_ok = b"OK\n"

Decode = Callable[[bytes], Traces]


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
        self._store = store
        self._stats = stats
        self._pause = pause
        self._more = tuple(more)
        self._info: Info | None = None
        self._about_agent: tuple[tuple[str, str], ...] = ()
        # Only for what newer forms say of the environment beside their spans.
        self._normalize_env = Normalizer(lambda: 0).env

    def routes(self) -> Routes:
        update = ("POST", "PUT")
        traces = self._settings.max_request_bytes
        found = [
            Route(update, "/v0.4/traces", self._take_v04, max_body=traces),
            Route(update, "/v0.5/traces", self._take_v05, max_body=traces),
            Route(update, "/v0.3/traces", self._take_v03, max_body=traces),
            Route(update, "/v0.7/traces", self._take_v07, max_body=traces),
            Route(update, "/v1.0/traces", self._take_v1, max_body=traces),
            Route(update, "/v0.3/services", self._ignore_services, max_body=traces),
            Route(update, "/v0.4/services", self._ignore_services, max_body=traces),
            Route(update, "/v0.6/stats", self._take_stats, max_body=self._settings.max_stats_request_bytes),
            Route(("*",), "/info", self._tell_info),
            *self._more,
        ]
        return Routes([msgspec.structs.replace(route, handler=self._guarded(route.handler)) for route in found])

    def _guarded(self, handle: Handler) -> Handler:
        """What holds on every path: no page in a browser may post here, and every answer says who gives it."""

        async def handle_guarded(request: Request) -> Response:
            if request.headers.get("sec-fetch-site") == "cross-site":
                return text("cross-site request rejected\n", 403)
            response = await handle(request)
            about = self._about_agent or self._introduce()
            response.headers = (*response.headers, *about) if response.headers else about
            return response

        return handle_guarded

    def _introduce(self) -> tuple[tuple[str, str], ...]:
        from .info import agent_version, make_info

        self._info = make_info(self._settings, self._endpoints())
        self._about_agent = (("Datadog-Agent-Version", agent_version), ("Datadog-Agent-State", self._info.state))
        return self._about_agent

    def _endpoints(self) -> list[str]:
        return [*paths, *dict.fromkeys(route.path.partition("{")[0] for route in self._more)]

    # --- traces -------------------------------------------------------------------------------------------------------

    async def _take_v03(self, request: Request) -> Response:
        response = await self._take_traces(request, _decoder(request, decode_v04))
        if response.status in (200, 429):
            response.body, response.content_type = _ok, type_text
        return response

    async def _take_v04(self, request: Request) -> Response:
        return await self._take_traces(request, _decoder(request, decode_v04))

    async def _take_v05(self, request: Request) -> Response:
        return await self._take_traces(request, decode_v05)

    async def _take_v07(self, request: Request) -> Response:
        from .decode_v07 import decode_v07

        return await self._take_payload(request, decode_v07)

    async def _take_v1(self, request: Request) -> Response:
        from .decode_v1 import decode_v1

        return await self._take_payload(request, decode_v1)

    async def _take_traces(self, request: Request, decode: Decode) -> Response:
        if not self._store.make_room():
            return self._put_off_traces(request)
        try:
            traces = decode(self._body(request))
        except MalformedInput as error:
            return self._refuse_traces(request, error)
        return await self._take(request, traces, read_tracer_payload(request.headers))

    async def _take_payload(self, request: Request, decode: Callable[[bytes], OpenedPayload]) -> Response:
        if not self._store.make_room():
            return self._put_off_traces(request)
        try:
            opened = decode(self._body(request))
        except MalformedInput as error:
            return self._refuse_traces(request, error)
        payload = complete(read_tracer_payload(request.headers), opened.fields)
        payload.env = self._normalize_env(payload.env)
        if payload.tags:
            payload.tags = self._store.replace_tags(payload.tags)
        return await self._take(request, opened.parts, payload)

    def _body(self, request: Request) -> bytes:
        coding = request.headers.get("content-encoding")
        return decode_body(request.body, coding, max_bytes=self._settings.max_request_bytes)

    async def _take(self, request: Request, traces: Traces, payload: TracerPayload) -> Response:
        self._store.take_dropped_p0(payload)
        add = self._store.add
        total = unpaused = 0
        try:
            for part in traces:
                add(part, payload)
                total += part.size
                unpaused += part.size + part.looked_at
                if unpaused >= slice_bytes:
                    unpaused = 0
                    await self._pause()
        except BaseException:
            # The end came, and the moment that the server gives to what it has received was too short.
            if traces.left:
                self._store.give_up(traces.left, max(0, len(request.body) - total))
            raise
        return _tell_rates(request, 200)

    def _put_off_traces(self, request: Request) -> Response:
        log.warning("tracer_put_off", path=request.path, bytes=len(request.body))
        response = _tell_rates(request, 429)
        response.headers = (*response.headers, _retry_after)
        return response

    def _refuse_traces(self, request: Request, error: MalformedInput) -> Response:
        self._store.refuse(len(request.body))
        return _refusal(request, error)

    async def _ignore_services(self, request: Request) -> Response:
        """Old tracers tell names and types of services here, which nobody reads any more."""
        return Response(status=200, body=_ok, content_type=type_text)

    # --- the rest -----------------------------------------------------------------------------------------------------

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
            return Response(
                status=429,
                body=b"The buffer for statistics is full\n",
                content_type=type_text,
                headers=(_retry_after,),
            )
        return text("Successfully buffered stats to be aggregated.", 202)

    async def _tell_info(self, request: Request) -> Response:
        if self._info is None:
            self._introduce()
        assert self._info is not None
        return Response(status=200, body=self._info.body, content_type=type_json)


_retry_after: Final = ("Retry-After", str(retry_after_s))


def _decoder(request: Request, usual: Decode) -> Decode:
    """JSON where the sender says so, or does not say and it looks like it; anything else is MessagePack."""
    kind = request.headers.get("content-type")
    if kind == "application/msgpack":
        return usual
    from .decode_json import decode_json, looks_like_json

    if kind is None:
        return decode_json if looks_like_json(request.body) else usual
    media = kind.partition(";")[0].strip().lower()
    return decode_json if media in ("application/json", "text/json") else usual


def _tell_rates(request: Request, status: int) -> Response:
    """Who says which version of the rates it has is told the version, and the rates only when it is another one."""
    known = request.headers.get("datadog-rates-payload-version")
    if known is None:
        return Response(status=status, body=_rates, content_type=type_json)
    return Response(
        status=status,
        body=b"{}" if known == _rates_version else _rates,
        content_type=type_json,
        headers=((_version_header, _rates_version),),
    )


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
