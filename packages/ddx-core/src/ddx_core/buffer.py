"""BoundedBuffer: a first-in first-out store, bounded in bytes, that is emptied by lease.

Rules: every method is synchronous, so each is atomic under Trio and asyncio alike. An entry is in the buffer, or in a
lease, or gone and counted; a lease that ends by an exception (cancellation included) puts its entries back in front, in
order. Leased bytes still count against the bound.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from typing import Generic, TypeVar

import msgspec

from .stats import Account, Amount

T = TypeVar("T")


class WhenFull(Enum):
    """What a put does when the bound is reached; its owner's choice."""

    DROP_OLDEST = "drop_oldest"
    REFUSE = "refuse"


class Entry(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """`items` is how many of the account's items `value` stands for; `size` is its bytes."""

    value: T
    size: int
    items: int


class BufferStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`entries` and `bytes` are of what is not leased, `items` of everything that is held."""

    entries: int
    items: int
    bytes: int
    leased_bytes: int


class BoundedBuffer(Generic[T]):
    """Holds at most `max_bytes`. What it has to drop is counted on `account` under the reason given here.

    The buffer reports what it holds to the account; accepting and delivering are its users' business.
    """

    def __init__(
        self,
        account: Account,
        *,
        max_bytes: int,
        when_full: WhenFull = WhenFull.DROP_OLDEST,
        full_reason: str = "buffer_full",
    ) -> None:
        self._account = account
        self._max_bytes: float = max_bytes
        self._when_full = when_full
        self._full_reason = full_reason
        self._entries: deque[Entry[T]] = deque()
        self._bytes = 0
        self._items = 0
        self._leased_bytes = 0
        self._leased_items = 0
        account.held_by(self._held)

    def put(self, value: T, *, size: int, items: int = 1) -> bool:
        """Append. False: refused (buffer full, or the entry is larger than the whole buffer), and not counted here.

        With DROP_OLDEST the oldest unleased entries make room and are counted as dropped; an entry that could never
        fit, or for which leases leave no room, is then counted as dropped itself, and True is still returned.
        """
        if self._bytes + self._leased_bytes + size > self._max_bytes:
            if self._when_full is WhenFull.REFUSE:
                return False
            if self._leased_bytes + size > self._max_bytes:
                # It cannot fit whatever else goes, so nothing else has to go for it.
                self._account.drop(self._full_reason, items, size)
                return True
            while self._bytes + self._leased_bytes + size > self._max_bytes:
                self._drop(self._take())
        self._entries.append(Entry(value, size, items))
        self._bytes += size
        self._items += items
        return True

    def put_beyond(self, value: T, *, size: int, items: int = 1) -> None:
        """Append, whatever the bound says: by how much it may be exceeded is the caller's to say."""
        self._entries.append(Entry(value, size, items))
        self._bytes += size
        self._items += items

    def lift_limit(self) -> None:
        """Refuse and drop nothing from here on: for an end, when what still comes is bounded elsewhere."""
        self._max_bytes = math.inf

    @property
    def waiting_bytes(self) -> int:
        """Bytes of what is not leased."""
        return self._bytes

    def has_room(self, size: int = 1) -> bool:
        """Whether an entry of `size` bytes fits without dropping another."""
        return self._bytes + self._leased_bytes + size <= self._max_bytes

    def can_ever_hold(self, size: int) -> bool:
        """Whether an entry of `size` bytes would fit if there were no other."""
        return size <= self._max_bytes

    @property
    def is_half_free(self) -> bool:
        """Whether all that is held, leased or not, takes at most half of the bytes there may be."""
        return self._bytes + self._leased_bytes <= self._max_bytes / 2

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def lease(self, *, max_bytes: int | None = None, max_entries: int | None = None) -> Generator[list[Entry[T]]]:
        """Take entries from the front: at most `max_entries`, and as many as fit `max_bytes` (always at least one).

        Normal exit: they are gone (whoever handled them has counted them). By exception: they are back in front, in
        their order; they counted against the bound all the time, so it holds. Of two leases at once, the one that is
        given back later comes to lie in front.
        """
        taken: list[Entry[T]] = []
        size = 0
        items = 0
        entries = self._entries
        most = len(entries) if max_entries is None else min(max_entries, len(entries))
        while len(taken) < most:
            entry = entries[0]
            if taken and max_bytes is not None and size + entry.size > max_bytes:
                break
            size += entry.size
            items += entry.items
            taken.append(entries.popleft())
        self._bytes -= size
        self._items -= items
        leased = list(taken)
        self._leased_bytes += size
        self._leased_items += items
        try:
            yield taken
        except BaseException:
            self._leased_bytes -= size
            self._leased_items -= items
            self._put_back(leased)
            raise
        self._leased_bytes -= size
        self._leased_items -= items

    def statistics(self) -> BufferStatistics:
        return BufferStatistics(
            entries=len(self._entries),
            items=self._items + self._leased_items,
            bytes=self._bytes,
            leased_bytes=self._leased_bytes,
        )

    def _take(self) -> Entry[T]:
        entry = self._entries.popleft()
        self._bytes -= entry.size
        self._items -= entry.items
        return entry

    def _put_back(self, entries: list[Entry[T]]) -> None:
        self._entries.extendleft(reversed(entries))
        for entry in entries:
            self._bytes += entry.size
            self._items += entry.items

    def _drop(self, entry: Entry[T]) -> None:
        self._account.drop(self._full_reason, entry.items, entry.size)

    def _held(self) -> Amount:
        return Amount(self._items + self._leased_items, self._bytes + self._leased_bytes)
