"""Accounts: what became of everything a signal took in. The one set of counters behind the status page, the log and the tests.

The rule they keep: accepted = delivered + held + dropped, in items. `held` is measured where things lie (buffers,
aggregators, queues), never computed from the others, so that the sum is a real check. Bytes are counted too, each at the
place where the event happens (a record on arrival, a payload when delivered); they inform and need not close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec


class Amount(msgspec.Struct, frozen=True):
    """A number of items (log records, metric samples, spans, …) and of bytes."""

    items: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.items + other.items, self.bytes + other.bytes)


class AccountSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One signal's account at one moment.

    `maybe_twice` counts what was sent again although an earlier attempt may have arrived (its reply was lost), each time: the
    one case in which the intake can hold an item more than once. Those items are in `delivered` once. `spooled` are held
    items that were written to the spool for the next life of the sandbox; they are part of `held`. `restored` came from
    there: they are part of `accepted`, here as in the account of the life before.
    """

    accepted: Amount
    delivered: Amount
    held: Amount
    dropped: dict[str, Amount]
    maybe_twice: Amount
    spooled: Amount
    restored: Amount
    closes: bool


class _Counter:
    __slots__ = ("bytes", "items")

    def __init__(self) -> None:
        self.items = 0
        self.bytes = 0

    def add(self, items: int, size: int) -> None:
        self.items += items
        self.bytes += size

    def amount(self) -> Amount:
        return Amount(self.items, self.bytes)


Holder = Callable[[], Amount]
"""Measures what one place holds right now."""


class Account:
    """Counts one signal. Whoever takes an item in calls `accept`; every way out calls `deliver` or `drop`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._accepted = _Counter()
        self._delivered = _Counter()
        self._maybe_twice = _Counter()
        self._spooled = _Counter()
        self._restored = _Counter()
        self._dropped: dict[str, _Counter] = {}
        self._holders: list[Holder] = []

    def held_by(self, holder: Holder) -> None:
        """Register a place where accepted items rest."""
        self._holders.append(holder)

    def accept(self, items: int, size: int) -> None:
        accepted = self._accepted  # counted in place: every log line and span comes by here
        accepted.items += items
        accepted.bytes += size

    def deliver(self, items: int, size: int) -> None:
        self._delivered.add(items, size)

    def drop(self, reason: str, items: int, size: int) -> None:
        counter = self._dropped.get(reason)
        if counter is None:
            counter = self._dropped[reason] = _Counter()
        counter.add(items, size)

    def refuse(self, reason: str, items: int, size: int) -> None:
        """Take in and drop at once: for what was never good enough to hold."""
        self.accept(items, size)
        self.drop(reason, items, size)

    def repeat(self, items: int, size: int) -> None:
        """A payload goes out again although an earlier attempt may have arrived."""
        self._maybe_twice.add(items, size)

    def spool(self, items: int, size: int) -> None:
        self._spooled.add(items, size)

    def restore(self, items: int, size: int) -> None:
        """Take in what the account of another process has accepted before."""
        self.accept(items, size)
        self._restored.add(items, size)

    def dropped(self, reason: str) -> Amount:
        counter = self._dropped.get(reason)
        return counter.amount() if counter else Amount()

    def snapshot(self) -> AccountSnapshot:
        held = _sum(holder() for holder in self._holders) + self._spooled.amount()
        dropped = {reason: counter.amount() for reason, counter in sorted(self._dropped.items())}
        out = self._delivered.items + held.items + sum(amount.items for amount in dropped.values())
        return AccountSnapshot(
            accepted=self._accepted.amount(),
            delivered=self._delivered.amount(),
            held=held,
            dropped=dropped,
            maybe_twice=self._maybe_twice.amount(),
            spooled=self._spooled.amount(),
            restored=self._restored.amount(),
            closes=self._accepted.items == out,
        )


def _sum(amounts: Iterable[Amount]) -> Amount:
    total = Amount()
    for amount in amounts:
        total = total + amount
    return total
