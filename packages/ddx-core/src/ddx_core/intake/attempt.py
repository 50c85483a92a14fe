"""One attempt: a request on a pooled connection, and what is known of its fate when no answer comes.

Rules of this file:
- What httpx raises ends here; nobody above sees it.
- Every attempt runs under a limit of its own, `running_time_limit`; httpx knows none.
- The status decides; the answer's body is read to free the connection, bounded in bytes and seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from ..clock import ns_per_s
from .connections import Connections, Pool, close_s, load_httpx
from .network import Proxy
from .payload import ApiKey, Endpoint, Payload
from .progress import Answer, Doubt, Failure, Progress
from .retry import parse_retry_after
from .running_time import running_time_limit

if TYPE_CHECKING:
    import httpx

max_answer_bytes: Final = 16_384
answer_body_s: Final = 1.0


async def attempt(
    connections: Connections, endpoint: Endpoint, payload: Payload, key: ApiKey, doubt: Doubt
) -> Answer | Failure:
    """Send once. `doubt` is raised while, and left raised when, the payload may have arrived without an answer."""
    settings, wall_clock = connections.settings, connections.wall_clock
    load_httpx(http2=settings.http2)
    import httpx

    try:
        pool = await connections.pool(endpoint.base_url)
    except (OSError, ValueError, httpx.InvalidURL) as error:
        return Failure(f"cannot prepare a connection: {type(error).__name__} {error}", hopeless=True)
    progress = Progress(doubt, pool.count_opened)
    opened_before = pool.opened
    pool.in_flight += 1
    pool.last_used_ns = wall_clock()
    try:
        async with running_time_limit(settings.attempt_s, wall_clock) as limit:
            # Errors end within this block: one that left it could meet a cancellation there, and go on in a group with that.
            try:
                await _exchange(connections, pool, endpoint, payload, key, progress)
                progress.is_settled = True
            except Exception as error:
                if progress.answer is not None and _is_of_the_network(error):
                    progress.is_settled = True  # only what came after the status went wrong
                    return _judge_proxy(progress.answer, endpoint, pool.proxy)
                # With HTTP/2 whatever the peer does wrong is called a LocalProtocolError.
                if isinstance(error, httpx.TransportError) and (
                    progress.is_http2 or not isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
                ):
                    host = urlsplit(endpoint.base_url).hostname or ""
                    was_opened = pool.opened > opened_before
                    return progress.failed(error, host=host, proxy=pool.proxy, was_opened=was_opened)
                if isinstance(error, httpx.TransportError | httpx.InvalidURL | ValueError):
                    # Their texts may quote a header, the API key among them.
                    progress.is_settled = True
                    return Failure(
                        f"the request cannot be made: {type(error).__name__}; check the URL and the key",
                        hopeless=True,
                    )
                raise
        if progress.answer is not None:
            return _judge_proxy(progress.answer, endpoint, pool.proxy)
        if limit.thawed:
            return Failure("the connection died in a freeze", stale=True)
        return Failure(f"no answer{progress.waiting_for(pool.proxy)} within {settings.attempt_s:g} s")
    finally:
        pool.in_flight -= 1
        pool.last_used_ns = wall_clock()
        if not progress.is_settled or progress.half_open is not None or progress.left_data_unread:
            # An attempt that was cut off may leave a connection that its pool takes for busy for ever, and so does a
            # TLS handshake that fails behind a proxy.
            connections.retire(endpoint.base_url, pool)
        await connections.close_if_unused(pool, progress.half_open)


async def _exchange(
    connections: Connections, pool: Pool, endpoint: Endpoint, payload: Payload, key: ApiKey, progress: Progress
) -> None:
    import httpx

    url = pool.url(endpoint.url(payload))
    if not (key.value.isascii() and key.value.isprintable()):
        raise ValueError  # h2 would send it all the same, with its line breaks
    request = httpx.Request(
        "POST",
        url,
        headers=[
            ("Host", url.netloc.decode("ascii")),
            *(() if _has_agent(payload) else (("User-Agent", connections.settings.user_agent),)),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("DD-API-KEY", key.value),
            ("Content-Type", payload.content_type),
            *([("Content-Encoding", payload.encoding)] if payload.encoding else ()),
            ("Content-Length", str(len(payload.body))),
            *endpoint.headers(payload),
        ],
        stream=_stream_type()(payload.body),
        extensions={"trace": progress.trace},
    )
    response = await pool.transport.handle_async_request(request)
    status = response.status_code
    retry_after_s = parse_retry_after(response.headers.get("retry-after"), now_s=connections.wall_clock() / ns_per_s)
    progress.answer = Answer(status, retry_after_s)
    if not 200 <= status < 300:
        # An accepted payload stays in doubt until the caller knows: it may be cancelled before.
        progress.take_doubt_back()
    try:
        await _read_bounded(response)
    finally:
        with anyio.move_on_after(close_s, shield=True):
            await response.aclose()


def _has_agent(payload: Payload) -> bool:
    return any(name == "user-agent" for name, _ in payload.headers)


def _judge_proxy(answer: Answer, endpoint: Endpoint, proxy: Proxy | None) -> Answer | Failure:
    """407 to a request that was not tunnelled is the proxy's word: the payload is not refused by anybody who knows it."""
    if proxy is not None and answer.status == 407 and endpoint.base_url.startswith("http:"):
        return Failure(
            f"the proxy {proxy.address} refused: 407; check the user and the password of the proxy (DD_PROXY_HTTP)",
            hopeless=True,
        )
    return answer


@cache
def _stream_type() -> Callable[[bytes], httpx.AsyncByteStream]:
    """A request body for httpx that is no async generator: one of those is left half-read when a send is cancelled."""
    import httpx

    class Body(httpx.AsyncByteStream):
        def __init__(self, body: bytes) -> None:
            self._body = body

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _Once(self._body)

    return Body


class _Once:
    __slots__ = ("_left",)

    def __init__(self, body: bytes) -> None:
        self._left: bytes | None = body or None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        body, self._left = self._left, None
        if body is None:
            raise StopAsyncIteration
        return body


async def _read_bounded(response: httpx.Response) -> None:
    """Read the answer's body away. What comes late, cut off or without end is let go."""
    size = 0
    with anyio.move_on_after(_seconds_for_body()) as scope:
        try:
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > max_answer_bytes:
                    # Leaving the loop would abandon four nested generators; the next read ends them all instead.
                    scope.cancel()
        except Exception as error:
            if not _is_of_the_network(error):
                raise


def _is_of_the_network(error: Exception) -> bool:
    """In the midst of an HTTP/2 body httpx lets errors of the libraries beneath it pass."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore", "h2")


def _seconds_for_body() -> float:
    """Less than the caller's deadline leaves: to be cut off here would hide a status that is known already."""
    return min(answer_body_s, max(0.0, (anyio.current_effective_deadline() - anyio.current_time()) / 2))
