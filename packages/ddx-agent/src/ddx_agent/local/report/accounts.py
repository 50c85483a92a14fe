"""The agent's own accounts, summed over the lives of a sandbox, against what the intake decoded. Pure.

They close when nothing is unaccounted for: accepted = delivered + dropped, nothing held, and the intake has exactly what
was delivered (or more, up to what the agent itself says may have arrived twice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ..intake import Totals


class _Amount(msgspec.Struct):
    items: int = 0


class _Account(msgspec.Struct):
    accepted: _Amount = msgspec.field(default_factory=_Amount)
    delivered: _Amount = msgspec.field(default_factory=_Amount)
    held: _Amount = msgspec.field(default_factory=_Amount)
    spooled: _Amount = msgspec.field(default_factory=_Amount)
    maybe_twice: _Amount = msgspec.field(default_factory=_Amount)
    dropped: dict[str, _Amount] = {}


class _Line(msgspec.Struct):
    signals: dict[str, _Account] = {}
    earlier_agents: int = 0


_decode = msgspec.json.Decoder(_Line).decode


class SignalAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One signal over all lives, in items (log entries, metric samples, spans, stats groups)."""

    signal: str
    accepted: int
    delivered: int
    dropped: dict[str, int]
    held: int
    maybe_twice: int
    at_intake: int | None
    """What the intake decoded, where that can be compared: samples of metrics are aggregated on the way."""
    problems: tuple[str, ...] = ()

    @property
    def closes(self) -> bool:
        return not self.problems


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    lives: int
    """Lives whose agent wrote its accounts."""
    signals: tuple[SignalAccount, ...]
    problems: tuple[str, ...]
    """Everything that keeps the accounts from closing, as sentences."""

    @property
    def close(self) -> bool:
        return not self.problems


def read_accounts(lines: Sequence[bytes], *, lives: int, totals: Totals) -> Accounts:
    """`lines`: what the agents appended to DDX_ACCOUNTS_FILE; `lives`: how often the extension was started."""
    problems: list[str] = []
    documents: list[_Line] = []
    for line in lines:
        try:
            documents.append(_decode(line))
        except msgspec.DecodeError as error:
            problems.append(f"a line of the accounts cannot be read: {error}")
    missing = _count_missing(documents, lives)
    if missing:
        problems.append(f"{missing} of {missing + len(documents)} agents ended without writing their accounts")
    arrived = {"logs": totals.logs, "traces": totals.spans, "stats": totals.stats_groups}
    signals = _sum_up(documents, arrived, is_complete=not missing)
    problems += [f"{account.signal}: {problem}" for account in signals for problem in account.problems]
    return Accounts(lives=len(documents), signals=tuple(signals), problems=tuple(problems))


def _count_missing(documents: Sequence[_Line], lives: int) -> int:
    """Agents that were started, the first or another in the place of one that died, and have left no document."""
    missing = next_agent = seen_lives = 0
    for document in documents:
        if document.earlier_agents < next_agent or not seen_lives:
            seen_lives += 1
            next_agent = 0
        missing += document.earlier_agents - next_agent
        next_agent = document.earlier_agents + 1
    return missing + max(0, lives - seen_lives)


def _sum_up(documents: Sequence[_Line], arrived: Mapping[str, int], *, is_complete: bool) -> list[SignalAccount]:
    names = dict.fromkeys(name for document in documents for name in document.signals)
    found: list[SignalAccount] = []
    for name in names:
        accounts = [document.signals.get(name, _Account()) for document in documents]
        # What a life left in the spool is held there and accepted anew by the next one: it counts once.
        carried = sum(account.spooled.items for account in accounts[:-1])
        dropped: dict[str, int] = {}
        for account in accounts:
            for reason, amount in account.dropped.items():
                if amount.items:
                    dropped[reason] = dropped.get(reason, 0) + amount.items
        found.append(
            _checked(
                SignalAccount(
                    signal=name,
                    accepted=sum(account.accepted.items for account in accounts) - carried,
                    delivered=sum(account.delivered.items for account in accounts),
                    dropped=dropped,
                    held=sum(account.held.items for account in accounts) - carried,
                    maybe_twice=sum(account.maybe_twice.items for account in accounts),
                    at_intake=arrived.get(name),
                ),
                is_complete=is_complete,
            )
        )
    return found


def _checked(account: SignalAccount, *, is_complete: bool) -> SignalAccount:
    """Not `is_complete`: some agents told nothing of what they delivered."""
    problems: list[str] = []
    out = account.delivered + sum(account.dropped.values()) + account.held
    if account.accepted != out:
        problems.append(f"{account.accepted} accepted, but {out} delivered, dropped or held")
    if account.held:
        problems.append(f"{account.held} still held at the end")
    if account.at_intake is not None:
        is_more = is_complete and account.at_intake > account.delivered + account.maybe_twice
        if is_more or account.at_intake < account.delivered:
            problems.append(f"{account.delivered} delivered, but {account.at_intake} at the intake")
    return msgspec.structs.replace(account, problems=tuple(problems))
