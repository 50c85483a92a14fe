"""The agent's own accounts as metrics, for those who ask for them (DDX_HEALTH_METRICS).

Rules of this file:
- What is told is what was added since the last time, as distributions: their sum is right although many sandboxes send under
  the same tags, where counts of one moment would replace each other.
- These samples are accepted, delivered and dropped as metrics themselves, by every endpoint in its own time. That is not
  told: else they would give rise to the next ones for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import trio

from ddx_core.clock import WallClock, ns_per_s
from ddx_core.pipeline import FlushKind, Pipeline
from ddx_core.stats import Account, AccountSnapshot
from ddx_metrics.pipeline import MetricsPipeline
from ddx_metrics.sample import Sample

told_every_s: Final = 10

_Items = dict[tuple[str, str | None], int]
"""What became of items, and for what reason → how many."""


class HealthMetrics:
    """Stands in for the metrics pipeline; before it flushes, what became of `others` and of metrics themselves is added."""

    def __init__(self, metrics: MetricsPipeline, others: Sequence[Pipeline], wall_clock: WallClock) -> None:
        self.name = metrics.name
        self._metrics = metrics
        self._others = others
        self._wall_clock = wall_clock
        self._told_ns = 0
        self._known: dict[str, _Items] = {}
        self._own: defaultdict[str, _Own] = defaultdict(_Own)

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
        for pipeline in self._others:
            for account in pipeline.accounts:
                samples += _samples(account.name, self._added(account.name, account.snapshot()))
        # What has not come to an additional endpoint yet is held by the first account.
        snapshots = [(account.name, account.snapshot()) for account in self._metrics.accounts]
        coming = 0
        for name, snapshot in snapshots:
            added = self._added(name, snapshot)
            self._own[name].leave_out(added, held=snapshot.held.items, coming=coming)
            samples += _samples(name, added)
            coming = snapshots[0][1].held.items
        self._metrics.add(samples)
        for account in self._metrics.accounts:
            self._own[account.name].coming += len(samples)

    def _added(self, signal: str, account: AccountSnapshot) -> _Items:
        totals: _Items = {
            # What comes from the spool was told by the life that accepted it first.
            ("accepted", None): account.accepted.items - account.restored.items,
            ("delivered", None): account.delivered.items,
            ("maybe_twice", None): account.maybe_twice.items,
            **{("dropped", reason): amount.items for reason, amount in account.dropped.items()},
        }
        known = self._known.get(signal, {})
        self._known[signal] = totals
        return {key: items - known.get(key, 0) for key, items in totals.items()}


class _Own:
    """Where our samples are, as one account of metrics sees it: `coming` to it, or held by it."""

    __slots__ = ("_held", "coming")

    def __init__(self) -> None:
        self.coming = 0
        self._held = 0

    def leave_out(self, added: _Items, *, held: int, coming: int) -> None:
        """Take out of `added` what is ours. `held` and `coming`: items of anybody's, of which ours are a part at most."""
        accepted = _take(added, ("accepted", None), self.coming)
        self.coming = min(self.coming - accepted, coming)
        here = self._held + accepted
        here -= _take(added, ("delivered", None), here)
        # Those that are neither delivered nor held were dropped, and are not waited for.
        dropped = max(here - held, 0)
        self._held = here - dropped
        for key in added:
            if key[0] == "dropped":
                dropped -= _take(added, key, dropped)


def _take(added: _Items, key: tuple[str, str | None], at_most: int) -> int:
    taken = min(max(added[key], 0), at_most)
    added[key] -= taken
    return taken


def _samples(signal: str, added: _Items) -> list[Sample]:
    return [
        Sample(
            name=f"ddx.items.{what}",
            value=float(items),
            tags=(f"signal:{signal}",) if reason is None else (f"signal:{signal}", f"reason:{reason}"),
        )
        for (what, reason), items in added.items()
        if items > 0
    ]
