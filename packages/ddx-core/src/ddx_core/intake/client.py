"""IntakeClient: one payload to one endpoint, with every attempt that the caller's deadline allows.

Rules of this file:
- It runs on Trio and on asyncio (anyio); deadlines are the caller's cancel scopes.
- httpx is imported at first use and seen by nobody else; its exceptions end here.
- `send` returns when the intake has answered for good and raises Unavailable otherwise, so no poisoned payload comes back.
- Time a frozen sandbox spends frozen is not held against an attempt: its limit counts ticks of a running process.
"""

from __future__ import annotations

import math
import random
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from .. import log
from ..clock import WallClock, now_ns, ns_per_s
from ..errors import Unavailable
from .payload import ApiKey, Endpoint, Payload
from .retry import RetryPolicy, Verdict, judge, parse_retry_after

if TYPE_CHECKING:
    import httpx

max_answer_bytes: Final = 16_384
idle_limit_s: Final = 5.0
"""A connection idle for longer is not used again: the peer, or a NAT on the way, may have dropped it during a freeze."""


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`attempt_s`: seconds (of a running process) that one attempt may take. `make_tls` is called at the first https URL."""

    attempt_s: float = 30.0
    max_connections: int = 8
    proxy: str | None = None
    make_tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    user_agent: str = "ddx"


class Outcome(Enum):
    DELIVERED = auto()
    REFUSED = auto()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """How a send ended for good. `repeated`: an attempt followed one whose fate is unknown, so the intake may hold it twice."""

    outcome: Outcome
    status: int
    attempts: int
    repeated: bool = False


class _Answer(msgspec.Struct, frozen=True):
    status: int
    retry_after_s: float | None
    detail: str


class _Failed(msgspec.Struct, frozen=True):
    """No answer. `maybe_delivered`: the whole request may have arrived. `stale`: a kept connection had died meanwhile."""

    reason: str
    maybe_delivered: bool
    stale: bool = False


class IntakeClient:
    """Keeps at most `max_connections`. Close it with `aclose`, or use it as an async context manager."""

    def __init__(
        self,
        settings: ClientSettings | None = None,
        policy: RetryPolicy | None = None,
        *,
        wall_clock: WallClock = now_ns,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings or ClientSettings()
        self._policy = policy or RetryPolicy()
        self._wall_clock = wall_clock
        self._chance = chance
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._in_flight = 0
        self._last_used_ns = 0

    async def __aenter__(self) -> IntakeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; takes at most a second."""
        clients, self._clients = list(self._clients.values()), {}
        with anyio.move_on_after(1, shield=True):
            for client in clients:
                await client.aclose()

    def warm_up(self, *, tls: bool) -> None:
        """Import and build what the first request needs, at a moment when nobody waits."""
        self._client(tls)

    async def send(self, endpoint: Endpoint, payload: Payload, *, uncertain: bool = False) -> Sent:
        """Deliver `payload`, or learn that the endpoint will never take it.

        `uncertain` says that an earlier attempt of the same payload may have arrived. Raises Unavailable when time or
        attempts ran out, or while there is no API key; its `maybe_delivered` belongs into the next call's `uncertain`.
        """
        attempts = 0
        failures = 0
        repeated = False
        while True:
            key = await endpoint.key.get()
            if key is None:
                raise Unavailable(f"{endpoint.name}: no API key yet", maybe_delivered=uncertain)
            repeated = repeated or uncertain
            attempts += 1
            answer = await self._attempt(endpoint, payload, key)
            retry_after_s: float | None = None
            if isinstance(answer, _Failed):
                uncertain = uncertain or answer.maybe_delivered
                reason = answer.reason
                if answer.stale:
                    attempts -= 1
                    continue
            else:
                reason = f"status {answer.status}"
                retry_after_s = answer.retry_after_s
                match judge(answer.status):
                    case Verdict.DELIVERED:
                        return Sent(
                            outcome=Outcome.DELIVERED, status=answer.status, attempts=attempts, repeated=repeated
                        )
                    case Verdict.KEY_REFUSED if attempts < self._policy.max_attempts and await endpoint.key.refused(
                        key
                    ):
                        continue
                    case Verdict.KEY_REFUSED | Verdict.PERMANENT:
                        log.warning(
                            "intake_refused",
                            endpoint=endpoint.name,
                            path=payload.path,
                            status=answer.status,
                            detail=answer.detail,
                            items=payload.items,
                            help="check DD_API_KEY and DD_SITE" if answer.status in (401, 403) else "not sent again",
                        )
                        return Sent(outcome=Outcome.REFUSED, status=answer.status, attempts=attempts, repeated=repeated)
                    case Verdict.RETRY:
                        pass
            failures += 1
            delay_s = self._policy.delay_s(failures, chance=self._chance(), retry_after_s=retry_after_s)
            if attempts >= self._policy.max_attempts or not _fits_deadline(delay_s):
                raise Unavailable(
                    f"{endpoint.name}: {reason} after {attempts} attempts",
                    retry_after_s=retry_after_s,
                    maybe_delivered=uncertain,
                )
            await anyio.sleep(delay_s)

    async def _attempt(self, endpoint: Endpoint, payload: Payload, key: ApiKey) -> _Answer | _Failed:
        import httpx

        url = endpoint.base_url + payload.path
        await self._drop_idle_connections()
        client = self._client(url.startswith("https:"))
        progress = _Progress()
        headers = [
            ("DD-API-KEY", key.value),
            ("Content-Type", payload.content_type),
            *([("Content-Encoding", payload.encoding)] if payload.encoding else ()),
            *payload.headers,
        ]
        self._in_flight += 1
        try:
            async with _running_time_limit(self._settings.attempt_s) as limit:
                request = client.build_request(
                    "POST", url, headers=headers, content=payload.body, extensions={"trace": progress.trace}
                )
                response = await client.send(request, stream=True)
                try:
                    detail = await _read_bounded(response)
                finally:
                    with anyio.move_on_after(1, shield=True):
                        await response.aclose()
                retry_after = response.headers.get("retry-after")
                return _Answer(
                    response.status_code, parse_retry_after(retry_after, now_s=self._wall_clock() / ns_per_s), detail
                )
            assert limit.expired
            return _Failed(f"no answer within {self._settings.attempt_s:g} s", maybe_delivered=progress.body_sent)
        except httpx.TransportError as error:
            stale = progress.on_kept_connection and not progress.answer_begun
            return _Failed(
                f"{type(error).__name__} {error}".strip(),
                maybe_delivered=progress.body_sent and not stale,
                stale=stale,
            )
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
            return _Failed(f"{type(error).__name__} {error}".strip(), maybe_delivered=False)
        finally:
            self._in_flight -= 1
            self._last_used_ns = self._wall_clock()

    def _client(self, tls: bool) -> httpx.AsyncClient:
        client = self._clients.get(tls)
        if client is None:
            import httpx

            settings = self._settings
            client = self._clients[tls] = httpx.AsyncClient(
                # For plain http no certificate store is loaded: that costs 20 ms and some MiB.
                verify=settings.make_tls() if tls else False,
                proxy=settings.proxy if tls else None,
                trust_env=False,
                timeout=None,  # noqa: S113 - every attempt runs under its own limit, see _running_time_limit
                limits=httpx.Limits(
                    max_connections=settings.max_connections,
                    max_keepalive_connections=settings.max_connections,
                    keepalive_expiry=idle_limit_s,
                ),
                headers={"User-Agent": settings.user_agent, "Accept": "*/*"},
            )
        return client

    async def _drop_idle_connections(self) -> None:
        """The pool's own idle limit trusts the monotonic clock, which may stand still in a freeze; the wall clock does not."""
        idle_ns = self._wall_clock() - self._last_used_ns
        if self._clients and not self._in_flight and not 0 <= idle_ns <= idle_limit_s * ns_per_s:
            await self.aclose()


class _Progress:
    """How far one attempt came, from httpcore's trace events."""

    __slots__ = ("answer_begun", "body_sent", "connected")

    def __init__(self) -> None:
        self.connected = False
        self.body_sent = False
        self.answer_begun = False

    @property
    def on_kept_connection(self) -> bool:
        return not self.connected

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self.connected = True
        elif event.endswith(".send_request_body.complete"):
            self.body_sent = True
        elif event.endswith(".receive_response_headers.complete"):
            self.answer_begun = True


class _Limit:
    expired = False


@asynccontextmanager
async def _running_time_limit(seconds: float) -> AsyncGenerator[_Limit]:
    """Leave the block after `seconds` of a running process; a freeze of any length counts as one tick."""
    limit = _Limit()

    async def watch(scope: anyio.CancelScope) -> None:
        left = seconds
        while left > 0:
            tick = min(1.0, left)
            await anyio.sleep(tick)
            left -= tick
        limit.expired = True
        scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, group.cancel_scope)
            yield limit
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise


async def _read_bounded(response: httpx.Response) -> str:
    """The beginning of the answer's body, as one line for a log; never more than `max_answer_bytes` is read."""
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_answer_bytes:
            break
    return body[:200].decode("utf-8", "replace").replace("\n", " ").strip()


def _fits_deadline(delay_s: float) -> bool:
    deadline = anyio.current_effective_deadline()
    return math.isinf(deadline) or anyio.current_time() + delay_s < deadline
