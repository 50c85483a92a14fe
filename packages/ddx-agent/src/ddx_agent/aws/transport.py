"""One HTTPS exchange with AWS or Datadog's key service: bounded in time and bytes, tried twice, failures told as AwsError."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import trio

from ddx_agent import version
from ddx_core.intake import ProxyRules, load_httpx

from .errors import AwsError, error_kind, is_throttled

if TYPE_CHECKING:
    import ssl

    import httpx

    from ddx_core.intake import Proxy

call_limit_s = 5.0
connect_limit_s = 2.0
tries = 2
pause_s = 0.2
most_answer_bytes = 1 << 20


class Answer(NamedTuple):
    """Shown without its body, which may be a secret."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


class HttpClient:
    """`httpx.AsyncClient` made at the first call: its import costs 60 ms, which most functions never need to pay."""

    def __init__(
        self,
        *,
        make_tls: Callable[[], ssl.SSLContext] | None = None,
        proxies: Callable[[], ProxyRules] = ProxyRules,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`proxies` is asked at each call and may raise ValueError for a proxy that is none; unless given, no proxy is used."""
        self._make_tls = make_tls
        self._proxies = proxies
        self._chance = chance
        self._clients: dict[Proxy | None, httpx.AsyncClient] = {}

    async def aclose(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    async def call(self, what: str, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer whatever its status. Raises AwsError, naming `what` and the host, when there is none."""
        load_httpx(http2=False)
        import httpx

        host = _host_of(what, url)
        try:
            proxy = self._proxies().proxy_for(url)
        except ValueError as error:
            raise AwsError(f"{what}: {error}") from None
        reason, kind, status = "", "", None
        for attempt in range(tries):
            if attempt:
                await trio.sleep(pause_s * (0.5 + self._chance()))
            reason, kind, status = f"no answer within {call_limit_s:g} s", "", None
            try:
                with trio.move_on_after(call_limit_s):
                    answer = await self._exchange(self._client(proxy), method, url, headers, body)
                    kind = error_kind(answer.body) if answer.status >= 400 else ""
                    if answer.status < 500 and answer.status != 429 and not is_throttled(kind):
                        return answer
                    status = answer.status
                    reason = f"{kind} (status {status})" if kind else f"status {status}"
            # An OSError is a certificate file that cannot be read; those of sockets come as httpx's own.
            except (
                httpx.InvalidURL,
                httpx.UnsupportedProtocol,
                httpx.LocalProtocolError,
                ValueError,
                OSError,
            ) as error:
                raise AwsError(f"{what}: the request to {host} cannot be made ({type(error).__name__})") from None
            except httpx.ConnectTimeout:
                reason = f"no connection within {connect_limit_s:g} s"
            except httpx.TimeoutException:
                reason = "a timeout"
            except httpx.TransportError as error:
                reason = type(error).__name__
        raise AwsError(f"{what}: {host} gave {reason}", kind=kind, status=status, may_pass=True)

    def _client(self, proxy: Proxy | None) -> httpx.AsyncClient:
        import httpx

        client = self._clients.get(proxy)
        if client is None:
            client = self._clients[proxy] = httpx.AsyncClient(
                # The body is read as it comes, so nothing may be compressed.
                headers={"User-Agent": f"ddx/{version}", "Accept-Encoding": "identity"},
                follow_redirects=False,
                timeout=httpx.Timeout(call_limit_s, connect=connect_limit_s),
                # Calls are minutes apart, and a connection that was open in a freeze may be dead.
                limits=httpx.Limits(max_keepalive_connections=0),
                # What it makes of NO_PROXY fails for networks and addresses in brackets.
                trust_env=False,
                verify=self._make_tls() if self._make_tls is not None else True,
                proxy=None if proxy is None else httpx.Proxy(proxy.url, auth=proxy.auth),
            )
        return client

    async def _exchange(
        self, client: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        import httpx

        request = client.build_request(method, url, headers=dict(headers), content=body)
        request.stream = _body_type()(body)
        async with aclosing(await client.send(request, stream=True)) as response:
            content = b""
            with trio.CancelScope() as reading:
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > most_answer_bytes:
                        # Leaving the loop would abandon nested generators; the next read ends them all instead.
                        reading.cancel()
            if len(content) > most_answer_bytes:
                raise httpx.RemoteProtocolError("the answer is too large")
            return Answer(response.status_code, content)


@cache
def _body_type() -> Callable[[bytes], httpx.AsyncByteStream]:
    """A request body for httpx that is no async generator: one of those is left half-read when a call is cancelled."""
    import httpx

    class Body(httpx.AsyncByteStream):
        def __init__(self, body: bytes) -> None:
            self._left = body

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            body, self._left = self._left, b""
            if not body:
                raise StopAsyncIteration
            return body

    return Body


def _host_of(what: str, url: str) -> str:
    try:
        return urlsplit(url).hostname or "no host"
    except ValueError:
        raise AwsError(f"{what}: the URL cannot be read") from None
