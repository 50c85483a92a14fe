"""ProxiedIntakes: the trace agent's routes to other intakes, and an outbox for each intake that anybody has used.

Rules of this file:
- The library gets its answer at once, the intake its request at a flush: a function never waits for an intake.
- What waits is bounded in bytes over all intakes together; beyond that libraries are told to come back later.
- Every intake has an outbox, a breaker and an account of its own, opened with the first request to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec
import trio

from ddx_core import log
from ddx_core.http import Request, Response, Route, text
from ddx_core.intake import Fanout, Payload
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from .forwarding import Forwarder, NotForwardable, Rule, evp, merged_datagrams, rules

max_targets: Final = 32
retry_after_s: Final = 1


class ProxySettings(msgspec.Struct, frozen=True, kw_only=True):
    """`max_buffer_bytes` is for all intakes together. `additional_tags` goes into the header X-Datadog-Additional-Tags."""

    max_request_bytes: int = 10 << 20
    max_buffer_bytes: int = 16 << 20
    additional_tags: str = ""


class Outbox(msgspec.Struct, frozen=True):
    """One intake's account and the way to it; an item is a request."""

    account: Account
    fanout: Fanout


OpenOutbox = Callable[[str], Outbox | None]
"""By the intake's name: `profiles`, `data-streams`, `telemetry`, `debugger`, `debugger-logs`, `evp-SUBDOMAIN`."""

TakeDatagrams = Callable[[Sequence[bytes]], None]


class ProxiedIntakes:
    """`open_outbox` is asked once for each intake; None refuses it. `take_datagrams` gets DogStatsD that came over HTTP."""

    def __init__(
        self,
        settings: ProxySettings,
        *,
        open_outbox: OpenOutbox,
        tags: TagSet,
        new_id: Callable[[], str],
        take_datagrams: TakeDatagrams | None = None,
    ) -> None:
        self._settings = settings
        self._open_outbox = open_outbox
        self._take_datagrams = take_datagrams
        self._forwarder = Forwarder(tags=tags, additional_tags=settings.additional_tags, new_id=new_id)
        self._outboxes: dict[str, Outbox] = {}

    @property
    def accounts(self) -> Iterable[Account]:
        for outbox in self._outboxes.values():
            yield outbox.account
            yield from outbox.fanout.accounts

    def set_tags(self, tags: TagSet) -> None:
        self._forwarder.tags = tags

    def routes(self) -> list[Route]:
        limit = self._settings.max_request_bytes
        routes = [Route(("POST",), rule.path, partial(self._take, rule), max_body=limit) for rule in rules]
        if self._take_datagrams is not None:
            routes += [
                Route(("POST",), f"/dogstatsd/v{number}/proxy", self._take_dogstatsd, max_body=limit)
                for number in (1, 2)
            ]
        return routes

    def outbox(self, target: str) -> Outbox | None:
        """The outbox of an intake, opened if need be; None when there is no such intake, or there are too many."""
        outbox = self._outboxes.get(target)
        if outbox is None and len(self._outboxes) < max_targets:
            outbox = self._open_outbox(target)
            if outbox is not None:
                self._outboxes[target] = outbox
        return outbox

    async def flush(self, kind: FlushKind) -> None:
        """Send what waits, to all intakes at once."""
        async with trio.open_nursery() as nursery:
            for outbox in self._outboxes.values():
                nursery.start_soon(
                    partial(
                        outbox.fanout.flush,
                        wait_for_open_breaker=kind is not FlushKind.BLOCKING,
                        last_chance=kind is FlushKind.FINAL,
                    )
                )

    async def _take(self, rule: Rule, request: Request) -> Response:
        size = len(request.body)
        try:
            forwarding = self._forwarder.forward(rule, request)
        except NotForwardable as error:
            return text(f"{request.path}: {error}\n", 400)
        outbox = self.outbox(forwarding.target)
        if outbox is None:
            return text(f"{request.path}: there is no intake {forwarding.target.removeprefix(f'{evp}-')}\n", 400)
        if self._held_bytes() + size > self._settings.max_buffer_bytes:
            log.warning("library_put_off", path=request.path, bytes=size)
            return Response(
                status=429, body=b"too much is waiting to be sent\n", headers=(("Retry-After", str(retry_after_s)),)
            )
        outbox.account.accept(1, size)
        outbox.fanout.put(
            Payload(
                path=forwarding.path,
                content_type=forwarding.content_type,
                body=request.body,
                items=1,
                encoding=forwarding.encoding,
                headers=forwarding.headers,
            )
        )
        return text(f"Acknowledged request for {rule.about}")

    async def _take_dogstatsd(self, request: Request) -> Response:
        assert self._take_datagrams is not None
        self._take_datagrams(merged_datagrams(request.body))
        return text("OK\n")

    def _held_bytes(self) -> int:
        return sum(outbox.account.snapshot().held.bytes for outbox in self._outboxes.values())
