"""The connections to intakes: an httpx transport for each endpoint, made as the settings say and given up in time.

Rules of this file:
- httpx is imported at first use. Requests go to its transport: what its client adds (redirects, cookies, authentication) an
  intake has no use for, and it costs a quarter of a request.
- Every endpoint has connections of its own, so that one which hangs cannot keep another waiting for a connection.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio
import msgspec

from ..clock import WallClock, ns_per_s
from .network import Proxy, ProxyRules, TlsPolicy

if TYPE_CHECKING:
    import httpx

idle_limit_s: Final = 5.0
"""A connection idle for longer is not used again: the peer, or a NAT on the way, may have dropped it during a freeze."""
close_s: Final = 0.1
"""Closing in good form (TLS says goodbye) may take so long; what is cut off is closed all the same."""
max_known_urls: Final = 64


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
    """The pooled connections to all endpoints, each in a pool of its own."""

    def __init__(self, settings: ClientSettings, wall_clock: WallClock) -> None:
        self.settings = settings
        self.wall_clock = wall_clock
        self._pools: dict[str, Pool] = {}
        self._tls: dict[bool, ssl.SSLContext] = {}

    async def aclose(self) -> None:
        """Close all connections; takes a moment at most."""
        pools, self._pools = list(self._pools.values()), {}
        with anyio.move_on_after(close_s, shield=True):
            for pool in pools:
                await pool.transport.aclose()

    def warm_up(self, *, tls: bool) -> None:
        """Import and build what the first request needs."""
        load_httpx(http2=self.settings.http2)
        self._new_transport("https://intake" if tls else "http://intake")

    async def pool(self, base_url: str) -> Pool:
        """The pool of an endpoint, without connections that a freeze may have killed.

        Raises ValueError, OSError or httpx.InvalidURL.
        """
        pool = self._pools.get(base_url)
        if pool is not None:
            # The pool's own idle limit trusts the monotonic clock, which may stand still in a freeze; the wall clock does not.
            idle_ns = self.wall_clock() - pool.last_used_ns
            if not 0 <= idle_ns <= idle_limit_s * ns_per_s:
                # What is under way has a connection that is not idle, and ends on it.
                self.retire(base_url, pool)
                if not pool.in_flight:
                    with anyio.move_on_after(close_s, shield=True):
                        await pool.transport.aclose()
                pool = self._pools.get(base_url)
        if pool is None:
            _check(base_url)
            pool = self._pools[base_url] = Pool(*self._new_transport(base_url), self.wall_clock())
        return pool

    def retire(self, base_url: str, pool: Pool) -> None:
        """No new request goes through this pool; those under way end on it."""
        pool.is_retired = True
        if self._pools.get(base_url) is pool:
            del self._pools[base_url]

    async def close_if_unused(self, pool: Pool, half_open: Any) -> None:
        """Close what is not used any more: a connection whose TLS handshake did not end well, and a retired pool that is idle."""
        if half_open is None and not (pool.is_retired and not pool.in_flight):
            return
        with anyio.move_on_after(close_s, shield=True):
            if half_open is not None:
                await half_open.aclose()
            if pool.is_retired and not pool.in_flight:
                await pool.transport.aclose()

    def _new_transport(self, base_url: str) -> tuple[httpx.AsyncHTTPTransport, Proxy | None]:
        import httpx

        settings = self.settings
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
            context = self.settings.make_tls() if is_used else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls[is_used] = context
        return context


class Pool:
    """The connections to one endpoint. `in_flight` attempts use it, `opened` counts the TLS connections made."""

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


def _for_httpx(proxy: Proxy, tls: ssl.SSLContext, settings: ClientSettings) -> httpx.Proxy:
    import httpx

    return httpx.Proxy(
        proxy.url,
        auth=proxy.auth,
        headers={"User-Agent": settings.user_agent},
        ssl_context=tls if proxy.scheme == "https" else None,
    )


def _check(base_url: str) -> None:
    """Raises ValueError for what is no http or https URL, or has an impossible port."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{base_url!r}: expected http://host:port or https://host")
