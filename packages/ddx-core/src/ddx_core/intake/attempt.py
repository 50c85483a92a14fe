"""One attempt: a request on a pooled connection, and what is known of its fate when no answer comes.

Rules of this file:
- httpx is imported at first use and seen by nobody else; its exceptions end here. Requests go to its transport: what its
  client adds (redirects, cookies, authentication) an intake has no use for, and it costs a quarter of a request.
- Every attempt runs under a limit of its own, `_running_time_limit`; httpx knows none.
- Every endpoint has connections of its own, so that one which hangs cannot keep another waiting for a connection.
- Time that a frozen sandbox spends frozen is not held against an attempt: its limit counts ticks of a running process.
- The status decides; the answer's body is read to free the connection, bounded in bytes and seconds.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio
import msgspec

from ..clock import WallClock, ns_per_s
from .network import Proxy, ProxyRules, TlsPolicy
from .payload import ApiKey, Endpoint, Payload
from .progress import Answer, Doubt, Failure, Progress
from .retry import parse_retry_after

if TYPE_CHECKING:
    import httpx

max_answer_bytes: Final = 16_384
answer_body_s: Final = 1.0
idle_limit_s: Final = 5.0
"""A connection idle for longer is not used again: the peer, or a NAT on the way, may have dropped it during a freeze."""
close_s: Final = 0.1
"""Closing in good form (TLS says goodbye) may take so long; what is cut off is closed all the same."""
tick_s: Final = 1.0
thaw_after_s: Final = 5.0
"""A tick that took this much longer on the wall clock than it should: the process was frozen."""
max_known_urls: Final = 64
thaw_grace_s: Final = 3.0
"""An answer that came during a freeze lies in the socket; none within this time after a thaw means a dead connection."""


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`attempt_s`: seconds (of a running process) that one attempt may take. `max_connections` is for each endpoint.

    `make_tls` is called at the first https URL, once. With `http2` that protocol is offered to https endpoints; plain http
    is always HTTP/1.1.
    """

    attempt_s: float = 30.0
    max_connections: int = 16
    proxies: ProxyRules = ProxyRules()
    http2: bool = False
    make_tls: Callable[[], ssl.SSLContext] = TlsPolicy().make_context
    user_agent: str = "ddx"


class Connections:
    """The pooled connections to all endpoints."""

    def __init__(self, settings: ClientSettings, wall_clock: WallClock) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        self._pools: dict[str, _Pool] = {}
        self._tls: dict[bool, ssl.SSLContext] = {}

    async def aclose(self) -> None:
        """Close all connections; takes a moment at most."""
        pools, self._pools = list(self._pools.values()), {}
        with anyio.move_on_after(close_s, shield=True):
            for pool in pools:
                await pool.transport.aclose()

    def warm_up(self, *, tls: bool) -> None:
        """Import and build what the first request needs."""
        load_httpx(http2=self._settings.http2)
        self._new_transport("https://intake" if tls else "http://intake")

    async def attempt(self, endpoint: Endpoint, payload: Payload, key: ApiKey, doubt: Doubt) -> Answer | Failure:
        """Send once. `doubt` is raised while, and left raised when, the payload may have arrived without an answer."""
        load_httpx(http2=self._settings.http2)
        import httpx

        try:
            pool = await self._pool(endpoint.base_url)
        except (OSError, ValueError, httpx.InvalidURL) as error:
            return Failure(f"cannot prepare a connection: {type(error).__name__} {error}", hopeless=True)
        progress = Progress(doubt, pool.count_opened)
        opened_before = pool.opened
        pool.in_flight += 1
        pool.last_used_ns = self._wall_clock()
        try:
            async with _running_time_limit(self._settings.attempt_s, self._wall_clock) as limit:
                # Errors end within this block: one that left it could meet a cancellation there, and go on in a group with that.
                try:
                    await self._exchange(pool, endpoint, payload, key, progress)
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
            return Failure(f"no answer{progress.waiting_for(pool.proxy)} within {self._settings.attempt_s:g} s")
        finally:
            pool.in_flight -= 1
            pool.last_used_ns = self._wall_clock()
            if not progress.is_settled or progress.half_open is not None or progress.left_data_unread:
                # An attempt that was cut off may leave a connection that its pool takes for busy for ever, and so does a
                # TLS handshake that fails behind a proxy.
                self._retire(endpoint.base_url, pool)
            await self._close_if_unused(pool, progress)

    async def _exchange(
        self, pool: _Pool, endpoint: Endpoint, payload: Payload, key: ApiKey, progress: Progress
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
                *(() if _has_agent(payload) else (("User-Agent", self._settings.user_agent),)),
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
        retry_after_s = parse_retry_after(response.headers.get("retry-after"), now_s=self._wall_clock() / ns_per_s)
        progress.answer = Answer(status, retry_after_s)
        if not 200 <= status < 300:
            # An accepted payload stays in doubt until the caller knows: it may be cancelled before.
            progress.take_doubt_back()
        try:
            await _read_bounded(response)
        finally:
            with anyio.move_on_after(close_s, shield=True):
                await response.aclose()

    async def _pool(self, base_url: str) -> _Pool:
        pool = self._pools.get(base_url)
        if pool is not None:
            # The pool's own idle limit trusts the monotonic clock, which may stand still in a freeze; the wall clock does not.
            idle_ns = self._wall_clock() - pool.last_used_ns
            if not 0 <= idle_ns <= idle_limit_s * ns_per_s:
                # What is under way has a connection that is not idle, and ends on it.
                self._retire(base_url, pool)
                if not pool.in_flight:
                    with anyio.move_on_after(close_s, shield=True):
                        await pool.transport.aclose()
                pool = self._pools.get(base_url)
        if pool is None:
            _check(base_url)
            pool = self._pools[base_url] = _Pool(*self._new_transport(base_url), self._wall_clock())
        return pool

    def _retire(self, base_url: str, pool: _Pool) -> None:
        """No new request goes through this pool; those under way end on it."""
        pool.is_retired = True
        if self._pools.get(base_url) is pool:
            del self._pools[base_url]

    async def _close_if_unused(self, pool: _Pool, progress: Progress) -> None:
        stream = progress.half_open
        if stream is None and not (pool.is_retired and not pool.in_flight):
            return
        with anyio.move_on_after(close_s, shield=True):
            if stream is not None:
                await stream.aclose()
            if pool.is_retired and not pool.in_flight:
                await pool.transport.aclose()

    def _new_transport(self, base_url: str) -> tuple[httpx.AsyncHTTPTransport, Proxy | None]:
        import httpx

        settings = self._settings
        tls = base_url.startswith("https:")
        proxy = settings.proxies.proxy_for(base_url)
        context = self._tls_context(tls or (proxy is not None and proxy.scheme == "https"))
        http2 = settings.http2 and tls
        if http2:
            from .http2 import prepare_http2

            http2 = prepare_http2()
        transport = httpx.AsyncHTTPTransport(
            verify=context,
            proxy=None if proxy is None else _for_httpx(proxy, context, settings),
            http2=http2,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=idle_limit_s,
            ),
        )
        return transport, proxy

    def _tls_context(self, is_used: bool) -> ssl.SSLContext:
        context = self._tls.get(is_used)
        if context is None:
            # For plain http no certificate store is loaded: that costs 20 ms and some MiB.
            context = self._settings.make_tls() if is_used else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls[is_used] = context
        return context


class _Pool:
    __slots__ = ("_urls", "in_flight", "is_retired", "last_used_ns", "opened", "proxy", "transport")

    def __init__(self, transport: httpx.AsyncHTTPTransport, proxy: Proxy | None, now_ns: int) -> None:
        self.transport = transport
        self.proxy = proxy
        self.opened = 0
        self._urls: dict[str, httpx.URL] = {}
        self.in_flight = 0
        self.is_retired = False
        self.last_used_ns = now_ns

    def count_opened(self) -> None:
        """A TLS connection stands, which all streams of HTTP/2 are to share."""
        self.opened += 1

    def url(self, text: str) -> httpx.URL:
        """Parsed once: an endpoint has a handful of paths, save where libraries' requests are passed on."""
        parsed = self._urls.get(text)
        if parsed is None:
            import httpx

            if len(self._urls) >= max_known_urls:
                self._urls.clear()
            parsed = self._urls[text] = httpx.URL(text)
        return parsed


def load_httpx(*, http2: bool) -> None:
    """Import httpx and what it needs; without `http2` not h2, which httpcore imports wherever it finds it."""
    if not http2 and "httpcore" not in sys.modules and "h2" not in sys.modules:
        modules: dict[str, Any] = sys.modules
        modules["h2"] = None
        try:
            import_module("httpcore")
        finally:
            del modules["h2"]
    import_module("httpcore")
    import_module("httpx")


def _has_agent(payload: Payload) -> bool:
    return any(name == "user-agent" for name, _ in payload.headers)


def _for_httpx(proxy: Proxy, tls: ssl.SSLContext, settings: ClientSettings) -> httpx.Proxy:
    import httpx

    return httpx.Proxy(
        proxy.url,
        auth=proxy.auth,
        headers={"User-Agent": settings.user_agent},
        ssl_context=tls if proxy.scheme == "https" else None,
    )


def _judge_proxy(answer: Answer, endpoint: Endpoint, proxy: Proxy | None) -> Answer | Failure:
    """407 to a request that was not tunnelled is the proxy's word: the payload is not refused by anybody who knows it."""
    if proxy is not None and answer.status == 407 and endpoint.base_url.startswith("http:"):
        return Failure(
            f"the proxy {proxy.address} refused: 407; check the user and the password of the proxy (DD_PROXY_HTTP)",
            hopeless=True,
        )
    return answer


def _check(base_url: str) -> None:
    """Raises ValueError for what is no http or https URL, or has an impossible port."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{base_url!r}: expected http://host:port or https://host")


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


class _Limit:
    __slots__ = ("thawed",)

    def __init__(self) -> None:
        self.thawed = False


@asynccontextmanager
async def _running_time_limit(seconds: float, wall_clock: WallClock) -> AsyncGenerator[_Limit]:
    """Leave the block after `seconds` of a running process; a freeze of any length counts as one tick.

    After a freeze no more than `thaw_grace_s` are left.
    """
    limit = _Limit()

    async def watch(scope: anyio.CancelScope) -> None:
        left = seconds
        while left > 0:
            tick = min(tick_s, left)
            before_ns = wall_clock()
            await anyio.sleep(tick)
            left -= tick
            if wall_clock() - before_ns > (tick + thaw_after_s) * ns_per_s and left > thaw_grace_s:
                limit.thawed = True
                left = thaw_grace_s
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        yield limit
        group.cancel_scope.cancel()


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
