from __future__ import annotations

from ddx_core.stats import Account, Amount
from ddx_logs.hold import Hold
from ddx_logs.record import LogRecord


def record(text: str) -> LogRecord:
    return LogRecord(text, 1)


def filled(*texts: str, max_bytes: int = 100, max_items: int = 100) -> tuple[Hold, Account]:
    account = Account("logs")
    hold = Hold(account, max_bytes=max_bytes, max_items=max_items)
    for text in texts:
        account.accept(1, len(text))
        hold.put(record(text))
        assert account.snapshot().closes
    return hold, account


def test_records_come_out_in_their_order_and_all_at_once() -> None:
    hold, account = filled("a", "b")
    assert account.snapshot().held == Amount(2, 2)
    assert [each.text for each in hold.take_all()] == ["a", "b"]
    assert account.snapshot().held == Amount(0, 0)


def test_oldest_is_dropped_and_counted_when_there_are_too_many() -> None:
    hold, account = filled("a", "b", "c", max_items=2)
    assert [each.text for each in hold.take_all()] == ["b", "c"]
    assert account.dropped("waiting_full") == Amount(1, 1)


def test_oldest_are_dropped_and_counted_when_they_are_too_large() -> None:
    hold, account = filled("aaaa", "bbbb", "cccccc", max_bytes=10)
    assert [each.text for each in hold.take_all()] == ["bbbb", "cccccc"]
    assert account.dropped("waiting_full") == Amount(1, 4)


def test_record_larger_than_the_whole_hold_is_dropped_and_counted() -> None:
    hold, account = filled("a", "b" * 11, max_bytes=10)
    assert len(hold) == 0
    assert account.dropped("waiting_full") == Amount(2, 12)


def test_size_of_a_record_is_its_utf8_length() -> None:
    assert [record(text).size for text in ("abc", "é", "😀", "\ud800")] == [3, 2, 4, 1]
