"""One request to the intake: what it holds, whether it is taken, and what is answered. Synchronous, no sockets.

Order of judgement, as at Datadog: the key, the size, the encoding, the content. A large body's content is judged only
when it is kept, which may be after the answer: reading it takes longer than Datadog makes anybody wait.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from ddx_core.http import Request, Response

from .decode import (
    DecodeError,
    TooLarge,
    count_spans,
    decode_agent_events,
    decode_body,
    decode_checks,
    decode_client_stats,
    decode_distribution_points,
    decode_event,
    decode_logs,
    decode_series_v1,
    decode_series_v2,
    decode_sketches,
    decode_stats,
    decode_traces,
    decode_traces_v04,
    decode_traces_v05,
)
from .endpoints import Endpoint
from .items import Metric, Raw, ReceivedRequest, StatsGroup, TracePayload
from .keys import api_key, bytes_without_key, key_end, key_id, public_headers, public_path, public_query
from .script import Action, Answer, Script, normal
from .store import Store, signal_kinds
from .tables import Item

late_from_bytes: Final = 16 << 10
"""Uncompressed size from which a body is read after the answer. A span of 200 bytes takes 0.2 ms."""

_protobuf_types = ("application/x-protobuf", "application/protobuf")

# The store adds these up over requests: far above anything real, far below what would overflow.
_most_samples = 1 << 48


class Received(msgspec.Struct, frozen=True):
    """What becomes of one request: the response, how it is to be sent, and what is to be done besides."""

    response: Response
    answer: Answer
    keep: Callable[[], ReceivedRequest]
    """Puts the request and what it holds into the store, and returns its record. To be called once."""
    late_bytes: int
    """Size of a body that `keep` has yet to read."""


class Contents(msgspec.Struct, frozen=True):
    items: list[Item]
    count: int
    samples: int
    decoded_bytes: int
    fingerprint: str


class _Refusal(Exception):
    """The request is not taken, for what it is."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title


def receive(
    request: Request, endpoint: Endpoint, script: Script, store: Store, *, now_s: float, keep_spans: bool
) -> Received:
    """Judge one request, and say what is to be answered and kept."""
    id = store.new_request_id()
    key = api_key(request)
    answer = normal
    contents: Contents | None = None
    late_body: bytes | None = None
    error: str | None = None
    try:
        _judge_key(endpoint, key, script)
        answer = script.take(kind=endpoint.kind, path=request.path, key=key)
        if answer.keeps_data:
            body = _body(request, endpoint)
            if _is_read_late(endpoint, body):
                late_body = body
            else:
                contents = _contents(request, endpoint, body, id, keep_spans=keep_spans)
            response = endpoint.accepted(answer.status if answer.action is Action.STATUS else None)
        else:
            response = _scripted(endpoint, answer)
            error = f"scripted: {answer.describe()}"
    except _Refusal as refusal:
        error = str(refusal)
        response = endpoint.refused(refusal.status, refusal.title, error)

    def keep() -> ReceivedRequest:
        found, wrong = contents, error
        if late_body is not None:
            try:
                found = _contents(request, endpoint, late_body, id, keep_spans=keep_spans)
            except _Refusal as refusal:
                wrong = f"found after the answer: {refusal}"
        record = ReceivedRequest(
            id=id,
            kind=endpoint.kind,
            arrived_s=now_s,
            method=request.method,
            path=public_path(request),
            query=public_query(request.query),
            headers=public_headers(request.headers),
            wire_bytes=_wire_bytes(request),
            decoded_bytes=found.decoded_bytes if found else 0,
            status=_status_sent(response, answer),
            answer=answer.describe(),
            accepted=found is not None,
            items=found.count if found else 0,
            samples=min(found.samples, _most_samples) if found else 0,
            error=wrong,
            key_id=key_id(key) if key else None,
            key_end=key_end(key) if key else None,
            fingerprint=found.fingerprint if found else _fingerprint(request.body),
        )
        store.add(record, found.items if found else ())
        return record

    return Received(response, answer, keep, len(late_body) if late_body is not None else 0)


def _is_read_late(endpoint: Endpoint, body: bytes) -> bool:
    # Logs are read fast, and their senders want to know of too many entries. What is only kept is not read at all.
    return len(body) >= late_from_bytes and endpoint.kind in signal_kinds and endpoint.kind != "logs"


def _judge_key(endpoint: Endpoint, key: str | None, script: Script) -> None:
    if key is not None and key in script.refused_keys:
        raise _Refusal(403, "Forbidden", "the API key is refused")
    if key is None and endpoint.needs_key and script.require_key:
        raise _Refusal(
            endpoint.missing_key, "Unauthorized" if endpoint.missing_key == 401 else "Forbidden", "no API key"
        )


def _scripted(endpoint: Endpoint, answer: Answer) -> Response:
    headers = (("Retry-After", answer.retry_after),) if answer.retry_after is not None else ()
    response = endpoint.refused(answer.status or 503, "Scripted", "scripted answer")
    response.headers = headers
    if answer.body is not None:
        response.body = answer.body.encode()
    return response


def _status_sent(response: Response, answer: Answer) -> int | None:
    match answer.action:
        case Action.RESET | Action.RESET_AFTER_READ | Action.HANG | Action.GARBAGE | Action.CLOSE:
            return None
        case _:
            return response.status


def _body(request: Request, endpoint: Endpoint) -> bytes:
    """The body, uncompressed."""
    if request.method not in endpoint.methods:
        raise _Refusal(404, "Not Found", f"nothing takes {request.method} here")
    if request.truncated:
        raise _Refusal(413, "Payload Too Large", f"a body above {endpoint.wire_limit} bytes")
    try:
        return decode_body(request.body, request.headers.get("content-encoding"), limit=endpoint.raw_limit)
    except DecodeError as failure:
        if endpoint.kind in signal_kinds or isinstance(failure, TooLarge):
            raise _refusal(failure) from failure
        # Kinds that are only kept are never refused for what is in them.
        return request.body


def _contents(request: Request, endpoint: Endpoint, body: bytes, id: int, *, keep_spans: bool) -> Contents:
    try:
        items, count = _items(request, endpoint, body, id, keep_spans=keep_spans)
    except DecodeError as failure:
        raise _refusal(failure) from failure
    return Contents(
        items=items,
        count=count,
        samples=sum(map(_samples, items)) if items else count,
        decoded_bytes=len(body),
        fingerprint=_fingerprint(body),
    )


def _refusal(failure: DecodeError) -> _Refusal:
    if isinstance(failure, TooLarge):
        return _Refusal(413, "Payload Too Large", str(failure))
    return _Refusal(400, "Bad Request", str(failure))


def _items(request: Request, endpoint: Endpoint, body: bytes, id: int, *, keep_spans: bool) -> tuple[list[Item], int]:
    """The items of a body and their number, which is also right when they are only counted."""
    content_type = request.headers.get("content-type")
    media_type = (content_type or "").partition(";")[0].strip().lower()
    items: list[Item]
    match endpoint.kind, endpoint.path:
        case "logs", _:
            query = dict(parse_qsl(request.query))
            items = [*decode_logs(body, content_type=content_type, query=query, request=id)]
        case "series", "/api/v1/series":
            items = [*decode_series_v1(body, request=id)]
        case "series", _:
            items = [*decode_series_v2(body, protobuf=media_type in _protobuf_types, request=id)]
        case "sketches", _:
            items = [*decode_sketches(body, request=id)]
        case "distribution_points", _:
            items = [*decode_distribution_points(body, request=id)]
        case "traces", "/api/v0.2/traces":
            if not keep_spans:
                return [], count_spans(body)
            items = [*decode_traces(body, request=id)]
        case "traces", path:
            decode = decode_traces_v05 if path == "/v0.5/traces" else decode_traces_v04
            items = [*decode(body, payload=_about_tracer(request), request=id)]
            if not keep_spans:
                return [], len(items)
        case "stats", "/api/v0.2/stats":
            items = [*decode_stats(body, request=id)]
        case "stats", _:
            items = [*decode_client_stats(body, request=id)]
        case "events", path:
            items = [*(decode_event if path == "/api/v1/events" else decode_agent_events)(body, request=id)]
        case "check_run", _:
            items = [*decode_checks(body, request=id)]
        case "validate", _:
            items = []
        case kind, _:
            kept = bytes_without_key(body, api_key(request))
            items = [Raw(request=id, kind=kind, path=request.path, content_type=content_type, body=kept)]
    return items, len(items)


def _about_tracer(request: Request) -> TracePayload:
    """What a tracer says about itself in headers, and an agent would say in the payload."""
    headers = request.headers
    return TracePayload(
        container_id=headers.get("datadog-container-id", ""),
        language=headers.get("datadog-meta-lang", ""),
        language_version=headers.get("datadog-meta-lang-version", ""),
        tracer_version=headers.get("datadog-meta-tracer-version", ""),
    )


def _samples(item: Item) -> int:
    match item:
        case Metric():
            return item.sketch.cnt if item.sketch is not None else 1
        case StatsGroup():
            return item.hits
        case _:
            return 1


def _wire_bytes(request: Request) -> int:
    """The body's size; of one too large to be read, as announced."""
    announced = request.headers.get("content-length", "0")
    return int(announced) if request.truncated and announced.isdigit() else len(request.body)


def _fingerprint(body: bytes) -> str:
    return blake2b(body, digest_size=12).hexdigest()
