"""IntakeClient: one payload to one endpoint, with every attempt that the caller's deadline allows.

Rules of this file:
- It runs on Trio and on asyncio (anyio); deadlines are the caller's cancel scopes.
- `send` returns when the intake has answered for good and raises Unavailable otherwise, so no poisoned payload comes back.
- What may have arrived without our knowing is never forgotten: it is raised, or noted in the caller's `Doubt`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Final, Protocol

import anyio
import msgspec

from .. import log
from ..clock import WallClock, now_ns
from ..errors import Unavailable
from .attempt import attempt
from .connections import ClientSettings, Connections
from .payload import Endpoint, Payload
from .progress import Answer, Doubt, Failure
from .retry import RetryPolicy, Verdict, judge


class Outcome(Enum):
    DELIVERED = auto()
    REFUSED = auto()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """How a send ended for good. `repeated`: an attempt followed one whose fate is unknown, so the intake may hold it twice."""

    outcome: Outcome
    status: int
    attempts: int
    repeated: bool = False


class Carrier(Protocol):
    """A nursery of Trio, or a task group of anyio."""

    def start_soon(self, func: Callable[..., Awaitable[Any]], /, *args: Any) -> object: ...


class IntakeClient:
    """Keeps at most `max_connections` to each endpoint. Close it with `aclose`, or use it as an async context manager."""

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
        self._chance = chance
        self._connections = Connections(self._settings, wall_clock)
        self.wall_clock = wall_clock
        self.carrier: Carrier | None = None

    def carry_on_in(self, carrier: Carrier) -> None:
        """From here on a flush that is cancelled does not cut off what it has in flight: that goes on in `carrier`, which must
        stay open for as long as anything is flushed."""
        self.carrier = carrier

    async def __aenter__(self) -> IntakeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; takes a moment at most."""
        await self._connections.aclose()

    def warm_up(self, *, tls: bool) -> None:
        """Import and build what the first request needs, at a moment when nobody waits."""
        self._connections.warm_up(tls=tls)

    async def send(
        self,
        endpoint: Endpoint,
        payload: Payload,
        *,
        doubt: Doubt | None = None,
        pauses_until: float = math.inf,
    ) -> Sent:
        """Deliver `payload`, or learn that the endpoint will never take it.

        Raises Unavailable when time or attempts ran out, or while there is no API key. Who will send the same payload again
        passes the same `doubt` each time: it says whether an earlier attempt may have arrived, after a cancellation as well.
        `pauses_until`: an attempt may go on for longer (anyio's time), but no pause between two.
        """
        doubt = doubt or Doubt()
        repeated = False
        attempts = 0
        failures = 0
        # Each stale connection is replaced at no cost, but no more of them than there can be.
        replacements_left = self._settings.max_connections + 1
        while True:
            key = await endpoint.key.get()
            if key is None:
                raise Unavailable(
                    f"{endpoint.name}: no API key yet", maybe_delivered=doubt.maybe_delivered, attempted=attempts > 0
                )
            doubt.repeats = doubt.copies
            repeated = repeated or doubt.maybe_delivered
            result = await attempt(self._connections, endpoint, payload, key, doubt)
            retry_after_s: float | None = None
            if isinstance(result, Failure):
                if result.stale and replacements_left:
                    replacements_left -= 1
                    continue
                attempts += 1
                reason = result.reason
                may_repeat = not result.hopeless
            else:
                attempts += 1
                reason = f"status {result.status}"
                verdict = judge(result.status)
                if verdict is Verdict.DELIVERED:
                    return Sent(outcome=Outcome.DELIVERED, status=result.status, attempts=attempts, repeated=repeated)
                if verdict is Verdict.KEY_REFUSED and await endpoint.key.refused(key):
                    if attempts < self._policy.max_attempts:
                        continue
                elif verdict is not Verdict.RETRY:
                    _report_refusal(endpoint, payload, result)
                    return Sent(outcome=Outcome.REFUSED, status=result.status, attempts=attempts, repeated=repeated)
                retry_after_s = result.retry_after_s
                may_repeat = True
            failures += 1
            delay_s = self._policy.delay_s(failures, chance=self._chance(), retry_after_s=retry_after_s)
            if (
                not may_repeat
                or attempts >= self._policy.max_attempts
                or delay_s > self._policy.patience_s
                or not _ends_before(pauses_until, delay_s)
            ):
                raise Unavailable(
                    f"{endpoint.name}: {reason} after {attempts} attempts",
                    retry_after_s=retry_after_s,
                    maybe_delivered=doubt.maybe_delivered,
                )
            await anyio.sleep(delay_s)


def _report_refusal(endpoint: Endpoint, payload: Payload, answer: Answer) -> None:
    log.warning(
        "intake_refused",
        # The intake's own words are not told: it may quote the key or the data.
        about=f"{endpoint.name} {payload.path.partition('?')[0]} {answer.status}",
        items=payload.items,
        help=_help.get(answer.status, "not sent again"),
    )


_help: Final = {
    400: "the intake does not understand it; not sent again",
    404: "there is no such API at this URL; check DD_SITE and the URLs of intakes",
    401: "check DD_API_KEY and DD_SITE",
    403: "check DD_API_KEY and DD_SITE",
    413: "sent again in smaller parts, where that can be done",
}


def _ends_before(pauses_until: float, delay_s: float) -> bool:
    deadline = min(anyio.current_effective_deadline(), pauses_until)
    return math.isinf(deadline) or anyio.current_time() + delay_s < deadline
