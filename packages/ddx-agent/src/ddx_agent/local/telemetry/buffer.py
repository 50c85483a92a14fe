"""One subscriber's queue of encoded events: when a batch is due, and what is in it. Pure; time is an argument.

A batch is due at `max_items`, at `max_bytes`, or `timeout_s` after its first event. What lies above `max_pending_bytes`
because the subscriber is slower than its events is dropped and counted.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from .subscription import Buffering


class Dropped(msgspec.Struct, frozen=True):
    records: int
    size: int


class TelemetryBuffer:
    def __init__(self, buffering: Buffering, *, max_pending_bytes: int = 16 << 20) -> None:
        self._max_items = buffering.maxItems
        self._max_bytes = buffering.maxBytes
        self._timeout_s = buffering.timeoutMs / 1000
        self._max_pending_bytes = max_pending_bytes
        self._pending: deque[bytes] = deque()
        self._size = 0
        self._oldest_at = math.inf
        self._dropped_records = 0
        self._dropped_size = 0

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, event: bytes, now: float) -> None:
        if self._size + len(event) > self._max_pending_bytes:
            self.count_dropped(1, len(event))
            return
        if not self._pending:
            self._oldest_at = now
        self._pending.append(event)
        self._size += len(event)

    @property
    def due_at(self) -> float:
        """When the next batch is due; infinity when there is nothing."""
        if not self._pending:
            return math.inf
        if len(self._pending) >= self._max_items or self._size >= self._max_bytes:
            return -math.inf
        return self._oldest_at + self._timeout_s

    def take(self, now: float) -> list[bytes]:
        """The next batch, oldest first; the first event always, then as many as the limits allow."""
        batch: list[bytes] = []
        size = 0
        while self._pending and len(batch) < self._max_items:
            if batch and size + len(self._pending[0]) > self._max_bytes:
                break
            event = self._pending.popleft()
            batch.append(event)
            size += len(event)
        self._size -= size
        self._oldest_at = now if self._pending else math.inf
        return batch

    def count_dropped(self, records: int, size: int) -> None:
        self._dropped_records += records
        self._dropped_size += size

    def take_dropped(self) -> Dropped | None:
        """What was dropped since the last call, for one `platform.logsDropped`."""
        if not self._dropped_records:
            return None
        dropped = Dropped(self._dropped_records, self._dropped_size)
        self._dropped_records = self._dropped_size = 0
        return dropped
