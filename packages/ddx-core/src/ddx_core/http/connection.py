"""One connection: request after request is read and answered, every size and time limited.

Rules of this file:
- A limit that is passed is answered where that is still possible, then the connection closes.
- Bodies are held in memory whole, so all connections of a server share one bound on their bytes.
- The plainest requests go past h11 (`plain`), which costs more than all the rest of them. h11 decides in every doubtful case:
  nothing is done with a request before it is known which of the two has it.
"""

from __future__ import annotations

from urllib.parse import unquote

import h11
import trio

from .. import log
from .bounds import Bounds
from .conversation import Conversation
from .message import Hangup, Headers, Request, Response, text
from .plain import PlainRequest, parse_request, render_answer
from .routes import Handler, Match, NoMatch, Oversize, Route, Routes
from .wire import Patience, Stream


class _Refused(Exception):
    """The request ends here with this answer, and the connection with it."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


async def serve_stream(stream: Stream, routes: Routes, bounds: Bounds) -> None:
    """Serve one connection until either side ends it. The caller closes the stream."""
    talk = Conversation(stream, bounds)
    try:
        while True:
            try:
                answered = await _one_request(talk, routes)
            except h11.RemoteProtocolError as error:
                if talk.can_still_answer:
                    await talk.refuse(text(f"Bad request: {error}\n", error.error_status_hint or 400))
                return
            finally:
                talk.share.end_request()
            if not answered or not talk.is_ready_for_next():
                return
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        return


async def _one_request(talk: Conversation, routes: Routes) -> bool:
    """Read one request and answer it. False: there was none (the client has gone) or the connection must close."""
    if not talk.has_leftover:
        # Between requests a client may be silent for long; once its first byte is here the header must follow soon.
        data = await talk.first_bytes()
        if not data:
            return False
        talk.share.begin_request()
        plain = parse_request(data, max_bytes=talk.limits.header_bytes)
        if plain is not None:
            method, target, _, length, _ = plain
            path, query = _split_target(target)
            match = routes.find(method, path)
            if isinstance(match, Match) and length <= match.route.max_body and talk.share.can_hold(length):
                return await _plain_request(talk, match, plain, data, path, query)
        talk.h11.receive_data(data)
    return await _any_request(talk, routes)


async def _any_request(talk: Conversation, routes: Routes) -> bool:
    """The same for a request that h11 has, or will have when more of it comes."""
    talk.share.begin_request()
    try:
        event = await talk.next_event(Patience(talk.limits.header_s))
    except trio.TooSlowError:
        await talk.refuse_as_too_slow("header")
        return False
    if not isinstance(event, h11.Request):
        return False
    headers = Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers])
    method = event.method.decode("ascii")
    path, query = _split_target(event.target.decode("ascii"))
    try:
        match = routes.find(method, path)
        if isinstance(match, NoMatch):
            return await _answer_no_match(talk, match, method, headers)
        header_at = trio.current_time()
        body, trailers, truncated = await _read_body(talk, match.route, headers)
        body_s = trio.current_time() - header_at
    except _Refused as refusal:
        await talk.refuse(refusal.response, method)
        return False
    except trio.TooSlowError:
        await talk.refuse_as_too_slow("body", method)
        return False
    request = Request(
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        params=match.params,
        trailers=trailers,
        truncated=truncated,
        body_s=body_s,
        peer=talk.peer,
    )
    return await _handle(talk, match, request, is_plain=False)


async def _plain_request(
    talk: Conversation, match: Match, plain: PlainRequest, data: bytes, path: str, query: str
) -> bool:
    """The same for a request that is plain; `data` begins with it. No body too large gets here."""
    method, _, fields, length, begin = plain
    talk.share.hold(length)
    body = data[begin:]
    body_s = 0.0
    if len(body) < length:
        began = trio.current_time()
        try:
            body = await talk.wire.receive_exactly(body, length, Patience(talk.limits.body_s))
        except trio.TooSlowError:
            talk.tell_h11_of_plain_request()
            await talk.refuse_as_too_slow("body", method)
            return False
        body_s = trio.current_time() - began
    request = Request(
        method=method,
        path=path,
        query=query,
        headers=Headers(fields),
        body=body,
        params=match.params,
        body_s=body_s,
        peer=talk.peer,
    )
    return await _handle(talk, match, request, is_plain=True)


async def _handle(talk: Conversation, match: Match, request: Request, *, is_plain: bool) -> bool:
    """Have a request that was read answered, without h11 where it came without it. False: the connection must close."""
    with talk.grace.request_in_hand():
        try:
            response = await _call(match.route.handler, request)
        except Hangup as hangup:
            await talk.hang_up(hangup)
            return False
        if is_plain:
            answer = render_answer(response)
            if answer is not None:
                await talk.wire.send_at_once(answer, within_s=talk.limits.answer_s)
                return True
            talk.tell_h11_of_plain_request()
        await talk.answer(response, request.method)
    return not response.close


def _split_target(target: str) -> tuple[str, str]:
    """The decoded path and the raw query. A target with scheme and host (as to a proxy) counts from its path on."""
    if target[:7].lower() == "http://":
        target = "/" + target[7:].partition("/")[2]
    path, _, query = target.partition("?")
    return unquote(path) if "%" in path else path, query


async def _answer_no_match(talk: Conversation, found: NoMatch, method: str, headers: Headers) -> bool:
    if found.allowed:
        response = Response(status=405, content_type=None, headers=(("Allow", ", ".join(found.allowed)),))
    else:
        response = text("Not Found", 404)
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        raise _Refused(response)  # its body is not worth reading
    await talk.next_event(Patience(talk.limits.body_s))
    await talk.answer(response, method)
    return True


async def _read_body(talk: Conversation, route: Route, headers: Headers) -> tuple[bytes, Headers, bool]:
    """The body, the fields that followed it, and whether it was too large and thrown away."""
    length = headers.get("content-length")
    over = length is not None and int(length) > route.max_body
    if over and route.oversize is Oversize.REFUSE:
        raise _too_long(route)
    if length is not None and not over:
        _hold(talk, int(length))
    await talk.let_go_on()
    patience = Patience(talk.limits.body_s)
    parts: list[bytes] = []
    size = 0
    while True:
        event = await talk.next_event(patience)
        if isinstance(event, h11.Data):
            size += len(event.data)
            if not over and size <= route.max_body:
                if length is None:
                    _hold(talk, len(event.data))
                parts.append(bytes(event.data))
                continue
            parts.clear()
            talk.share.let_go_of_body()
            over = True
            if route.oversize is Oversize.REFUSE or size > talk.limits.discard_bytes:
                raise _too_long(route)
        elif isinstance(event, h11.EndOfMessage):
            trailers = Headers([(n.decode("ascii"), v.decode("latin-1")) for n, v in event.headers])
            return (b"" if over else b"".join(parts)), trailers, over
        else:
            raise trio.BrokenResourceError("the client closed the connection inside a body")


def _hold(talk: Conversation, size: int) -> None:
    """Raises _Refused when the bodies of all requests together have become too much."""
    if not talk.share.hold(size):
        raise _Refused(Response(status=429, body=b"too many bodies at once\n", headers=(("Retry-After", "1"),)))


def _too_long(route: Route) -> _Refused:
    return _Refused(text(route.too_large, 413))


async def _call(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except Hangup:
        raise
    except Exception as error:
        log.error("http_handler_failed", method=request.method, path=request.path, exc_info=error)
        return text("Internal error\n", 500)
