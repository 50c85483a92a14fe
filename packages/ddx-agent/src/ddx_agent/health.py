"""The agent's own accounts as metrics, for those who ask for them (DDX_HEALTH_METRICS).

Rules of this file:
- What is told is what was added since the last time, as distributions: their sum is right although many sandboxes send under
  the same tags, where counts of one moment would replace each other.
- These samples are accepted and delivered as metrics themselves. That is not told: else they would give rise to the next
  ones for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from ddx_core.clock import WallClock, ns_per_s
from ddx_core.pipeline import FlushKind, Pipeline
from ddx_core.stats import Account, AccountSnapshot
from ddx_metrics.pipeline import MetricsPipeline
from ddx_metrics.sample import Sample

told_every_s: Final = 10


class HealthMetrics:
    """Stands in for the metrics pipeline; before it flushes, what became of `others` and of metrics themselves is added."""

    def __init__(self, metrics: MetricsPipeline, others: Sequence[Pipeline], wall_clock: WallClock) -> None:
        self.name = metrics.name
        self._metrics = metrics
        self._others = others
        self._wall_clock = wall_clock
        self._told_ns = 0
        self._known: dict[tuple[str, str, str | None], int] = {}
        self._own_accepted = 0
        self._own_held: dict[str, int] = {}

    @property
    def accounts(self) -> Sequence[Account]:
        return self._metrics.accounts

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self._metrics.serve(task_status=task_status)

    async def flush(self, kind: FlushKind) -> None:
        now_ns = self._wall_clock()
        if kind is FlushKind.FINAL or not 0 <= now_ns - self._told_ns < told_every_s * ns_per_s:
            self._told_ns = now_ns
            self._tell()
        await self._metrics.flush(kind)

    def _tell(self) -> None:
        samples: list[Sample] = []
        for pipeline in (*self._others, self._metrics):
            for account in pipeline.accounts:
                samples += self._changes(account.name, account.snapshot(), holds_own=pipeline is self._metrics)
        self._metrics.add(samples)
        self._own_accepted = len(samples)
        for account in self._metrics.accounts:
            self._own_held[account.name] = self._own_held.get(account.name, 0) + len(samples)

    def _changes(self, signal: str, account: AccountSnapshot, *, holds_own: bool) -> list[Sample]:
        accepted = self._added(signal, "accepted", account.accepted.items)
        delivered = self._added(signal, "delivered", account.delivered.items)
        if holds_own:
            # Of an additional endpoint's account, what is accepted are payloads, in which ours are as many as left.
            waiting = self._own_held.get(signal, 0)
            own_delivered = min(waiting, delivered)
            delivered -= own_delivered
            accepted -= min(accepted, own_delivered if "@" in signal else self._own_accepted)
            # Those that were dropped are not waited for any more.
            self._own_held[signal] = min(waiting - own_delivered, account.held.items)
        changes: list[tuple[str, int, str | None]] = [("accepted", accepted, None), ("delivered", delivered, None)]
        changes.append(("maybe_twice", self._added(signal, "maybe_twice", account.maybe_twice.items), None))
        for reason, amount in account.dropped.items():
            changes.append(("dropped", self._added(signal, "dropped", amount.items, reason), reason))
        return [
            Sample(
                name=f"ddx.items.{what}",
                value=float(items),
                tags=(f"signal:{signal}",) if reason is None else (f"signal:{signal}", f"reason:{reason}"),
            )
            for what, items, reason in changes
            if items > 0
        ]

    def _added(self, signal: str, what: str, items: int, reason: str | None = None) -> int:
        key = (signal, what, reason)
        added = items - self._known.get(key, 0)
        self._known[key] = items
        return added
