"""Records waiting for what completes them (their request id, or the function's ARN), bounded in bytes and in number. Pure."""

from __future__ import annotations

from collections import deque

from ddx_core.stats import Account, Amount

from .record import LogRecord


class Hold:
    """First in, first out. When full the oldest are dropped, counted on `account` as `waiting_full`."""

    def __init__(self, account: Account, *, max_bytes: int, max_items: int) -> None:
        self._account = account
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._records: deque[LogRecord] = deque()
        self._bytes = 0
        account.held_by(self._held)

    def __len__(self) -> int:
        return len(self._records)

    def put(self, record: LogRecord) -> None:
        self._records.append(record)
        self._bytes += record.size
        while self._bytes > self._max_bytes or len(self._records) > self._max_items:
            oldest = self._records.popleft()
            self._bytes -= oldest.size
            self._account.drop("waiting_full", 1, oldest.size)

    def take_all(self) -> list[LogRecord]:
        """Everything, oldest first; the caller places each record without an await in between."""
        records = list(self._records)
        self._records.clear()
        self._bytes = 0
        return records

    def _held(self) -> Amount:
        return Amount(len(self._records), self._bytes)
