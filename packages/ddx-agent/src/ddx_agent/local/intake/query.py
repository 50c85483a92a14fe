"""Asking the intake over HTTP, under `/ddx`, and the page at `/`.

    GET    /ddx/logs?service=&request_id=&contains=&status=     GET /ddx/requests?kind=&accepted=true&after=
    GET    /ddx/metrics?name=&tag=&type=                        GET /ddx/totals
    GET    /ddx/spans?name=&trace_id=&service=&resource=        GET /ddx/repeats
    GET    /ddx/stats?name=&service=&resource=                  GET /ddx/raw?kind=&path=
    GET    /ddx/events?source=&title=                           GET /ddx/checks?name=&status=
    GET    /ddx/script      PUT /ddx/script                     DELETE /ddx

Lists take `limit` (the latest so many, newest last). Ids of spans come also in hex, as JSON readers round big numbers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from ddx_core.errors import ConfigError
from ddx_core.http import Handler, Request, Response, Route, json

from .endpoints import tracer_info
from .items import Span
from .script import Script, ScriptChange, read_change
from .store import Store

default_limit: Final = 10_000

page_path: Final = Path(__file__).parent.parent / "web" / "intake.html"

_page_headers = (
    # The page is one file; what it shows comes from strangers and is never to run.
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)

_max_script = 1 << 20


class _BadQuery(Exception):
    pass


def control_routes(
    store: Store,
    caught_up: Callable[[], Awaitable[None]],
    script: Script,
    change_script: Callable[[ScriptChange], None],
) -> list[Route]:
    """`caught_up` waits for what the store has put off; without it the server would stand still meanwhile."""

    def spans(**given: Any) -> list[dict[str, Any]]:
        return [_with_hex(span) for span in store.spans(**given)]

    asked: dict[str, tuple[Callable[..., Any], Mapping[str, Callable[[str], Any]]]] = {
        "logs": (store.logs, {"service": str, "request_id": str, "contains": str, "status": str}),
        "metrics": (store.metrics, {"name": str, "tag": str, "type": str}),
        "spans": (spans, {"name": str, "trace_id": _number, "service": str, "resource": str}),
        "stats": (store.stats, {"name": str, "service": str, "resource": str}),
        "events": (store.events, {"source": str, "title": str}),
        "checks": (store.checks, {"name": str, "status": _number}),
        "raw": (store.raw, {"kind": str, "path": str}),
        "requests": (store.requests, {"kind": str, "accepted": _truth, "after": _number}),
    }
    page = page_path.read_bytes()

    async def totals(_: Request) -> Response:
        await caught_up()
        return json(store.totals())

    async def repeats(_: Request) -> Response:
        await caught_up()
        return json(store.repeats())

    async def clear(_: Request) -> Response:
        await caught_up()
        store.clear()
        return json(store.totals())

    async def show_script(_: Request) -> Response:
        return json(_script_state(script))

    async def put_script(request: Request) -> Response:
        try:
            change_script(read_change(request.body))
        except ConfigError as error:
            return json({"errors": [str(error)]}, 400)
        return json(_script_state(script))

    async def info(_: Request) -> Response:
        return json(tracer_info)

    async def show_page(_: Request) -> Response:
        return Response(body=page, content_type="text/html; charset=utf-8", headers=_page_headers)

    return [
        *(
            Route(("GET",), f"/ddx/{name}", _list_handler(find, known, caught_up))
            for name, (find, known) in asked.items()
        ),
        Route(("GET",), "/ddx/totals", totals),
        Route(("GET",), "/ddx/repeats", repeats),
        Route(("GET",), "/ddx/script", show_script),
        Route(("PUT",), "/ddx/script", put_script, _max_script),
        Route(("DELETE",), "/ddx", clear),
        Route(("GET",), "/info", info),
        Route(("GET",), "/", show_page),
    ]


def _list_handler(
    find: Callable[..., Any], known: Mapping[str, Callable[[str], Any]], caught_up: Callable[[], Awaitable[None]]
) -> Handler:
    async def handle(request: Request) -> Response:
        await caught_up()
        try:
            return json(find(**_parameters(request.query, known)))
        except _BadQuery as error:
            return json({"errors": [str(error)]}, 400)

    return handle


def _parameters(query: str, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    given: dict[str, Any] = {"limit": default_limit}
    readers = {**known, "limit": _number}
    for name, text in parse_qsl(query):
        if name not in readers:
            raise _BadQuery(f"no parameter {name[:40]!r} here, only {', '.join(readers)}")
        given[name] = readers[name](text)
    return given


def _number(text: str) -> int:
    try:
        number = int(text, 16) if text.startswith("0x") else int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 128:
        raise _BadQuery(f"{text[:40]!r}: expected a whole number, decimal or 0x and hex digits")
    return number


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise _BadQuery(f"{text[:40]!r}: expected true or false")
    return text == "true"


def _with_hex(span: Span) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(span),
        "trace_id_hex": f"{span.trace_id_high:016x}{span.trace_id:016x}",
        "span_id_hex": f"{span.span_id:016x}",
        "parent_id_hex": f"{span.parent_id:016x}",
    }


def _script_state(script: Script) -> dict[str, Any]:
    return {
        "left": script.left(),
        "refused_keys": len(script.refused_keys),
        "require_key": script.require_key,
        "down": script.resetting,
    }
