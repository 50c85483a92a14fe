"""The Telemetry API: the subscription, and the listener that takes the batches.

Rules: the answer to the subscription is checked, because without telemetry nobody may wait for an end of invocation. The
listener answers fast and always 200, whatever it made of a batch: Lambda would send a refused one again for ever.
Source: AWS Lambda Developer Guide, "Lambda Telemetry API reference".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from .. import log
from ..errors import LifecycleError, MalformedInput
from ..events import TelemetryEvent, parse_telemetry
from ..http import Oversize, Request, Response, Route, Routes, text
from .extensions import ExtensionsClient, refusal

telemetry_path = "/2022-07-01/telemetry"
schema_versions = ("2025-01-29", "2022-12-13", "2022-07-01")
"""Newest first. Each adds to the one before: JSON records, then the shapes of Managed Instances."""

# Twice the largest buffer that can be asked for (1 MiB) and its frame, as the developer guide demands of a listener.
max_batch_bytes = 2 * (1 << 20) + 262_144


class Buffering(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How Lambda may collect events before it sends them; the smallest delay lets an end of invocation be seen soonest."""

    max_items: int = 1000
    max_bytes: int = 262_144
    timeout_ms: int = 25


async def subscribe(
    client: ExtensionsClient,
    *,
    port: int,
    types: Sequence[str] = ("platform", "function", "extension"),
    buffering: Buffering | None = None,
    schemas: Sequence[str] = schema_versions,
) -> str | None:
    """Subscribe with the newest schema that Lambda takes.

    Returns that schema's version, or None when no telemetry will ever come (a sandbox without the API answers 202, a
    closed or refused subscription 4xx). The listener must be bound before. Never raises for a refusal.
    """
    for schema in schemas:
        body = msgspec.json.encode(
            {
                "schemaVersion": schema,
                "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{port}/"},
                "types": list(types),
                "buffering": buffering or Buffering(),
            }
        )
        try:
            answer = await client.subscribe(body, telemetry_path)
        except LifecycleError as error:
            log.warning("telemetry_not_subscribed", reason=str(error))
            return None
        if answer.status == 200:
            return schema
        trouble = refusal("the telemetry subscription", answer)
        if answer.status != 400:
            log.warning("telemetry_not_subscribed", reason=str(trouble))
            return None
        log.debug("telemetry_schema_refused", schema=schema, reason=str(trouble))
    log.warning("telemetry_not_subscribed", reason="no known schema was accepted")
    return None


class TelemetryReceiver:
    """Takes batches and hands every event to `sink`, in order, synchronously.

    `batches` and `events` count what was read; `skipped` what was not, by its reason.
    """

    def __init__(self, sink: Callable[[TelemetryEvent], None]) -> None:
        self._sink = sink
        self.events = 0
        self.skipped: dict[str, int] = {}
        self.batches = 0
        self._recent: dict[int, None] = {}

    def routes(self) -> Routes:
        return Routes([Route(("POST",), "/", self._take, max_body=max_batch_bytes, oversize=Oversize.DISCARD)])

    async def _take(self, request: Request) -> Response:
        if request.truncated:
            log.warning("telemetry_batch_too_large", most_bytes=max_batch_bytes, consequence="its events are lost")
            self._skip("oversized_batch", 1)
        else:
            self.take(request.body)
        return text("OK")

    def take(self, body: bytes) -> None:
        """One delivery. A batch equal to one of the last few is a repeat after a lost answer and is passed over."""
        mark = hash(body)
        if body and mark in self._recent:
            self._skip("repeated_batch", 1)
            return
        self._recent[mark] = None
        if len(self._recent) > 32:
            del self._recent[next(iter(self._recent))]
        try:
            batch = parse_telemetry(body)
        except MalformedInput as error:
            log.warning("telemetry_batch_unreadable", reason=str(error), bytes=len(body))
            self._skip("malformed_batch", 1)
            return
        self.batches += 1
        for event in batch.events:
            try:
                self._sink(event)
            except Exception as error:
                log.error("telemetry_event_failed", kind=type(event).__name__, exc_info=error)
                self._skip("failed", 1)
        self.events += len(batch.events)
        for reason, count in batch.skipped.items():
            log.debug("telemetry_event_skipped", reason=reason)
            self._skip(reason, count)

    def _skip(self, reason: str, count: int) -> None:
        if len(self.skipped) >= 100 and reason not in self.skipped:
            reason = "other"
        self.skipped[reason] = self.skipped.get(reason, 0) + count
