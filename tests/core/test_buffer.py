"""BoundedBuffer: nothing is lost, nothing is in two places, and the bound holds."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ddx_core.buffer import BoundedBuffer, Entry, WhenFull
from ddx_core.stats import Account, Amount
from tests.support.cancel import cancel_at_every_step


def buffer_of(max_bytes: int, when_full: WhenFull = WhenFull.DROP_OLDEST) -> tuple[BoundedBuffer[str], Account]:
    account = Account("test")
    return BoundedBuffer(account, max_bytes=max_bytes, when_full=when_full), account


def fill(buffer: BoundedBuffer[str], account: Account, text: str) -> None:
    for letter in text:
        account.accept(1, 1)
        assert buffer.put(letter, size=1)


def content(buffer: BoundedBuffer[str]) -> str:
    """What lies in it, in order; taken out and put back."""
    seen: list[Entry[str]] = []
    with suppress(LookupError), buffer.lease() as entries:
        seen = list(entries)
        raise LookupError
    return "".join(entry.value for entry in seen)


def test_entries_come_out_in_the_order_they_went_in() -> None:
    buffer, account = buffer_of(10)
    fill(buffer, account, "abc")
    with buffer.lease() as entries:
        assert [entry.value for entry in entries] == ["a", "b", "c"]
    assert len(buffer) == 0


def test_the_oldest_make_room_and_are_counted() -> None:
    buffer, account = buffer_of(3)
    fill(buffer, account, "abcde")
    assert content(buffer) == "cde"
    assert account.dropped("buffer_full") == Amount(2, 2)
    assert account.snapshot().closes


def test_a_full_buffer_can_refuse_instead() -> None:
    buffer, account = buffer_of(2, WhenFull.REFUSE)
    fill(buffer, account, "ab")
    assert not buffer.has_room()
    assert not buffer.put("c", size=1)
    assert content(buffer) == "ab"
    assert not account.snapshot().dropped


def test_an_entry_that_can_never_fit_costs_nobody_else_a_place() -> None:
    buffer, account = buffer_of(3)
    fill(buffer, account, "abc")
    account.accept(5, 100)
    assert buffer.put("x", size=100, items=5)
    assert content(buffer) == "abc"
    assert account.dropped("buffer_full") == Amount(5, 100)
    assert account.snapshot().closes


def test_without_its_limit_a_buffer_holds_whatever_comes() -> None:
    buffer, account = buffer_of(3)
    fill(buffer, account, "abc")
    assert not buffer.can_ever_hold(100)
    assert not buffer.is_half_free
    buffer.lift_limit()
    assert buffer.can_ever_hold(100)
    assert buffer.is_half_free
    assert buffer.has_room(100)
    account.accept(1, 100)
    assert buffer.put("d", size=100)
    assert content(buffer) == "abcd"
    assert not account.snapshot().dropped


def test_an_owner_may_put_an_entry_beyond_the_bound_which_holds_for_all_that_follow() -> None:
    buffer, account = buffer_of(3)
    fill(buffer, account, "a")
    account.accept(1, 100)
    buffer.put_beyond("x", size=100)
    assert (content(buffer), buffer.statistics().bytes) == ("ax", 101)
    assert not buffer.has_room()
    fill(buffer, account, "b")
    assert content(buffer) == "b"
    assert account.dropped("buffer_full") == Amount(2, 101)
    assert account.snapshot().closes


def test_what_leases_leave_no_room_for_is_dropped_itself() -> None:
    buffer, account = buffer_of(3)
    fill(buffer, account, "abc")
    with suppress(LookupError), buffer.lease(max_entries=2):
        account.accept(1, 2)
        assert buffer.put("x", size=2)
        assert account.dropped("buffer_full") == Amount(1, 2)
        raise LookupError
    assert content(buffer) == "abc"


def test_leased_bytes_count_against_the_bound() -> None:
    buffer, account = buffer_of(3)
    fill(buffer, account, "abc")
    with buffer.lease(max_entries=2) as entries:
        assert not buffer.has_room()
        account.accept(1, 1)
        buffer.put("d", size=1)  # the oldest that is not leased goes
        account.deliver(len(entries), 2)
    assert content(buffer) == "d"
    assert account.snapshot().closes


def test_a_lease_takes_at_least_one_and_then_what_fits() -> None:
    buffer, account = buffer_of(100)
    for size in (50, 10, 10, 1):
        account.accept(1, size)
        buffer.put(str(size), size=size)
    with buffer.lease(max_bytes=20) as entries:
        assert [entry.value for entry in entries] == ["50"]
    with buffer.lease(max_bytes=20) as entries:
        assert [entry.value for entry in entries] == ["10", "10"]
    with buffer.lease(max_bytes=20, max_entries=0) as entries:
        assert entries == []


def test_a_failed_lease_puts_everything_back_in_front() -> None:
    buffer, account = buffer_of(10)
    fill(buffer, account, "abc")
    with suppress(LookupError), buffer.lease(max_entries=2) as entries:
        entries.clear()  # what a user does with the list is of no consequence
        fill(buffer, account, "d")
        raise LookupError
    assert content(buffer) == "abcd"
    assert account.snapshot().closes


def test_nested_leases_that_fail_keep_the_order() -> None:
    buffer, account = buffer_of(10)
    fill(buffer, account, "abcd")
    with suppress(LookupError), buffer.lease(max_entries=1), buffer.lease(max_entries=2):
        raise LookupError
    assert content(buffer) == "abcd"


def test_an_empty_buffer_leases_nothing() -> None:
    buffer, _ = buffer_of(1)
    with buffer.lease() as entries:
        assert entries == []


async def test_no_cancellation_loses_or_doubles_an_entry() -> None:
    buffer, account = buffer_of(10)
    delivered = ""

    async def send_all() -> None:
        nonlocal buffer, account, delivered
        buffer, account = buffer_of(10)
        delivered = ""
        fill(buffer, account, "abcde")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(send)

    async def send() -> None:
        nonlocal delivered
        while len(buffer):
            with buffer.lease(max_entries=2) as entries:
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
                for entry in entries:
                    delivered += entry.value
                    account.deliver(entry.items, entry.size)

    def check(completed: bool) -> None:
        assert account.snapshot().closes
        assert sorted(content(buffer) + delivered) == list("abcde")
        assert buffer.statistics().leased_bytes == 0
        if completed:
            assert not len(buffer)

    assert await cancel_at_every_step(send_all, check) > 5


class BufferModel(RuleBasedStateMachine):
    """Any puts and any leases, several at once, ended in any order, well or badly: a plain list says what must be there."""

    max_bytes = 20

    def __init__(self) -> None:
        super().__init__()
        self.account = Account("model")
        self.buffer: BoundedBuffer[int] = BoundedBuffer(self.account, max_bytes=self.max_bytes)
        self.waiting: list[Entry[int]] = []
        self.leases: list[tuple[ExitStack, list[Entry[int]]]] = []
        self.next_value = 0

    @rule(size=st.integers(0, 25), items=st.integers(0, 3))
    def put(self, size: int, items: int) -> None:
        self.account.accept(items, size)
        self.buffer.put(self.next_value, size=size, items=items)
        entry = Entry(self.next_value, size, items)
        self.next_value += 1
        leased = sum(each.size for _, taken in self.leases for each in taken)
        if leased + size > self.max_bytes:
            return
        while leased + size + sum(each.size for each in self.waiting) > self.max_bytes:
            del self.waiting[0]
        self.waiting.append(entry)

    @precondition(lambda self: len(self.leases) < 3)
    @rule(max_bytes=st.none() | st.integers(0, 25), max_entries=st.none() | st.integers(0, 5))
    def lease(self, max_bytes: int | None, max_entries: int | None) -> None:
        stack = ExitStack()
        taken = list(stack.enter_context(self.buffer.lease(max_bytes=max_bytes, max_entries=max_entries)))
        assert taken == self.waiting[: len(taken)]
        if max_entries is not None:
            assert len(taken) <= max_entries
        if max_bytes is not None and len(taken) > 1:
            assert sum(each.size for each in taken) <= max_bytes
        del self.waiting[: len(taken)]
        self.leases.append((stack, taken))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        stack, taken = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        for entry in taken:
            self.account.deliver(entry.items, entry.size)
        stack.close()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        stack, taken = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        error = LookupError()
        assert not stack.__exit__(type(error), error, None)
        self.waiting[:0] = taken

    @invariant()
    def nothing_is_lost_and_the_bound_holds(self) -> None:
        snapshot = self.account.snapshot()
        assert snapshot.closes
        statistics = self.buffer.statistics()
        assert statistics.bytes == sum(each.size for each in self.waiting)
        assert statistics.entries == len(self.waiting) == len(self.buffer)
        assert statistics.bytes + statistics.leased_bytes <= self.max_bytes
        everywhere = [*self.waiting, *(each for _, taken in self.leases for each in taken)]
        assert statistics.items == snapshot.held.items == sum(each.items for each in everywhere)
        assert snapshot.held.bytes == sum(each.size for each in everywhere)


TestBufferModel = BufferModel.TestCase
TestBufferModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
