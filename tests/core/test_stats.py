"""Accounts: accepted = delivered + held + dropped, measured and not computed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ddx_core.stats import Account, Amount


def test_an_untouched_account_closes() -> None:
    snapshot = Account("logs").snapshot()
    assert snapshot.closes
    assert snapshot.held == Amount()


def test_every_way_out_is_counted() -> None:
    account = Account("logs")
    held = Amount(2, 20)
    account.held_by(lambda: held)
    account.accept(10, 100)
    account.deliver(4, 40)
    account.drop("queue_full", 2, 20)
    account.drop("queue_full", 1, 10)
    account.spool(1, 10)
    account.refuse("too_large", 3, 1000)
    account.repeat(1, 10)
    snapshot = account.snapshot()
    assert snapshot.closes
    assert snapshot.accepted == Amount(13, 1100)
    assert snapshot.delivered == Amount(4, 40)
    assert snapshot.held == Amount(3, 30)
    assert snapshot.spooled == Amount(1, 10)
    assert snapshot.maybe_twice == Amount(1, 10)
    assert snapshot.dropped == {"queue_full": Amount(3, 30), "too_large": Amount(3, 1000)}
    assert account.dropped("queue_full") == Amount(3, 30)
    assert account.dropped("nothing") == Amount()


def test_a_lost_item_is_noticed() -> None:
    account = Account("logs")
    account.accept(2, 2)
    account.deliver(1, 1)
    assert not account.snapshot().closes


def test_an_item_delivered_twice_is_noticed() -> None:
    account = Account("logs")
    account.accept(1, 1)
    account.deliver(2, 2)
    assert not account.snapshot().closes


@given(st.lists(st.tuples(st.sampled_from(["accept", "deliver", "drop", "hold"]), st.integers(0, 9))))
def test_it_closes_exactly_when_the_sum_is_right(steps: list[tuple[str, int]]) -> None:
    account = Account("x")
    held = 0
    account.held_by(lambda: Amount(held, 0))
    balance = 0
    for step, items in steps:
        match step:
            case "accept":
                account.accept(items, 0)
                balance += items
            case "deliver":
                account.deliver(items, 0)
                balance -= items
            case "drop":
                account.drop(f"reason_{items}", items, 0)
                balance -= items
            case _:
                balance -= items - held
                held = items
        assert account.snapshot().closes == (balance == 0)
