"""One HTTPS exchange with AWS or Datadog's key service: bounded in time and bytes, tried twice, failures told as AwsError."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec
import trio

from ddx_core.intake import load_httpx

from .errors import AwsError

if TYPE_CHECKING:
    import ssl

    import httpx

    from ddx_core.intake import Proxy

call_limit_s = 5.0
tries = 2
pause_s = 0.2
most_answer_bytes = 1 << 20


class Answer(NamedTuple):
    status: int
    body: bytes


class HttpClient:
    """`httpx.AsyncClient` made at the first call: its import costs 60 ms, which most functions never need to pay."""

    def __init__(
        self,
        *,
        make_tls: Callable[[], ssl.SSLContext] | None = None,
        proxy: Proxy | None = None,
        trust_env: bool = True,
    ) -> None:
        """`trust_env` takes the proxy that all programs share (HTTPS_PROXY, NO_PROXY), where `proxy` is not given."""
        self._make_tls = make_tls
        self._proxy = proxy
        self._trust_env = trust_env
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def call(self, what: str, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer whatever its status. Raises AwsError, naming `what` and the host, when there is none."""
        load_httpx(http2=False)
        import httpx

        host = urlsplit(url).hostname
        reason = f"no answer within {call_limit_s:g} s"
        for attempt in range(tries):
            if attempt:
                await trio.sleep(pause_s)
            try:
                with trio.move_on_after(call_limit_s):
                    answer = await self._exchange(method, url, headers, body)
                    if answer.status < 500 and answer.status != 429:
                        return answer
                    reason = f"status {answer.status}"
            except httpx.TimeoutException:
                reason = "a timeout"
            except httpx.TransportError as error:
                reason = type(error).__name__
            except (httpx.InvalidURL, ValueError, UnicodeError) as error:
                raise AwsError(f"{what}: the request to {host} cannot be made ({type(error).__name__})") from None
        raise AwsError(f"{what}: {host} gave {reason}", may_pass=True)

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        import httpx

        if self._client is None:
            proxy = self._proxy
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                timeout=call_limit_s,
                trust_env=self._trust_env,
                verify=self._make_tls() if self._make_tls is not None else True,
                proxy=None if proxy is None else httpx.Proxy(proxy.url, auth=proxy.auth),
            )
        async with self._client.stream(method, url, headers=dict(headers), content=body) as response:
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


class _ErrorBody(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    code: str = ""


def error_kind(body: bytes) -> str:
    """AWS's name of an error: `{"__type": "com.amazonaws...#AccessDeniedException"}` → AccessDeniedException."""
    try:
        told = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    kind = (told.type or told.code).rpartition("#")[2]
    return kind if re.fullmatch(r"[A-Za-z0-9.]{1,80}", kind) else ""
