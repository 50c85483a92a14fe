"""A payload that an endpoint finds too large goes there in parts: every item once, and no other endpoint is concerned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.http import Hangup, Request
from ddx_core.intake import IntakeClient, Payload, RetryPolicy, Split, open_fanout
from ddx_core.stats import Account, Amount
from tests.support.builders import a_payload, an_endpoint, assert_closes
from tests.support.cancel import cancel_at_every_step
from tests.support.intake import ScriptedIntake, Step


def in_halves(payload: Payload) -> list[Payload]:
    words = payload.body.split()
    return [a_list(*words[: len(words) // 2]), a_list(*words[len(words) // 2 :])]


def a_list(*words: bytes) -> Payload:
    return msgspec.structs.replace(a_payload(b" ".join(words)), items=len(words))


def at_most(words: int) -> Callable[[Request], int]:
    """An intake's answer to every list: 413 for longer ones, and for those with a giant in them."""
    return lambda request: 413 if len(request.body.split()) > words or b"giant" in request.body else 202


class Signal:
    def __init__(self, *intakes: ScriptedIntake, split: Split | None = in_halves, max_bytes: int = 10_000) -> None:
        self.account = Account("logs")
        self.client = IntakeClient(policy=RetryPolicy(max_attempts=2, base_s=0.001))
        endpoints = [an_endpoint(intake.url, name=f"e{number}") for number, intake in enumerate(intakes)]
        self.fanout = open_fanout(self.account, endpoints, self.client, max_bytes=max_bytes)
        if split is not None:
            self.fanout.split_with(split)

    @property
    def accounts(self) -> list[Account]:
        return [self.account, *self.fanout.accounts]

    def put(self, *words: bytes) -> None:
        payload = a_list(*words)
        self.account.accept(payload.items, payload.size)
        self.fanout.put(payload)

    async def flush(self) -> None:
        with trio.fail_after(20):
            await self.fanout.flush(wait_for_open_breaker=True)
        assert_closes(*self.accounts)


async def start(nursery: trio.Nursery, *intakes: ScriptedIntake) -> None:
    for intake in intakes:
        await intake.start(nursery)


def words_taken(intake: ScriptedIntake, most: int) -> Counter[bytes]:
    """What the intake accepted, answering by `at_most`."""
    return Counter(
        word for body in intake.bodies if len(body.split()) <= most and b"giant" not in body for word in body.split()
    )


async def test_what_is_too_large_is_delivered_in_parts(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake(otherwise=at_most(3))
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(*b"a b c d e f g".split())
    signal.put(b"h", b"i")
    await signal.flush()
    assert words_taken(intake, 3) == Counter(b"a b c d e f g h i".split())
    assert signal.account.snapshot().delivered.items == 9
    assert signal.account.snapshot().held == Amount()
    await signal.client.aclose()


async def test_a_single_item_that_is_too_large_is_dropped_and_counted_alone(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake(otherwise=at_most(9))
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(*b"a b giant c d".split())
    await signal.flush()
    assert words_taken(intake, 9) == Counter(b"a b c d".split())
    assert signal.account.dropped("refused_413") == Amount(1, 5)
    await signal.client.aclose()


async def test_endpoints_split_apart_from_each_other(nursery: trio.Nursery) -> None:
    narrow, wide = ScriptedIntake(otherwise=at_most(1)), ScriptedIntake(otherwise=at_most(99))
    await start(nursery, narrow, wide)
    signal = Signal(narrow, wide)
    signal.put(*b"a b c d".split())
    await signal.flush()
    assert words_taken(narrow, 1) == Counter(b"a b c d".split())
    assert wide.bodies == [b"a b c d"]
    assert [account.snapshot().delivered.items for account in signal.accounts] == [4, 4]
    await signal.client.aclose()


def fails(payload: Payload) -> list[Payload]:
    raise KeyError("a defect")


def loses(payload: Payload) -> list[Payload]:
    return in_halves(payload)[:1]


def gives_it_back(payload: Payload) -> list[Payload]:
    return [payload]


def pads(payload: Payload) -> Sequence[Payload]:
    return [*in_halves(payload), msgspec.structs.replace(payload, items=0)]


@pytest.mark.parametrize("split", [None, fails, loses, gives_it_back, pads])
async def test_what_cannot_be_split_is_dropped_whole_and_counted(nursery: trio.Nursery, split: Split | None) -> None:
    intake = ScriptedIntake(otherwise=at_most(1))
    await start(nursery, intake)
    signal = Signal(intake, split=split)
    signal.put(b"a", b"b")
    signal.put(b"c")
    await signal.flush()
    assert signal.account.dropped("refused_413").items == 2
    assert signal.account.snapshot().delivered.items == 1
    await signal.client.aclose()


async def test_parts_of_a_payload_whose_reply_was_lost_may_be_there_twice(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([Hangup(), 413])
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"a", b"b", b"c")
    await signal.flush()
    assert intake.bodies == [b"a b c", b"a b c", b"a", b"b c"]
    snapshot = signal.account.snapshot()
    assert snapshot.delivered.items == snapshot.maybe_twice.items == 3
    await signal.client.aclose()


async def test_parts_wait_for_the_next_flush_when_the_endpoint_is_in_trouble_meanwhile(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([413, 503, 503, 503, 503])
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"a", b"b")
    await signal.flush()
    assert signal.account.snapshot().held.items == 2
    await signal.flush()
    assert signal.account.snapshot().delivered.items == 2
    await signal.client.aclose()


async def test_a_full_queue_stays_within_its_bound_and_counts_what_the_parts_push_out(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake(otherwise=at_most(1))
    await start(nursery, intake)

    def bloating(payload: Payload) -> list[Payload]:
        return [msgspec.structs.replace(part, body=part.body + b" " * 5) for part in in_halves(payload)]

    signal = Signal(intake, split=bloating, max_bytes=40)
    signal.put(b"a" * 18, b"b" * 18)
    await signal.flush()
    assert signal.account.dropped("queue_full").items == 1
    assert signal.account.snapshot().delivered.items == 1
    await signal.client.aclose()


async def test_cancelled_at_any_step_no_item_is_lost_or_doubled(nursery: trio.Nursery) -> None:
    narrow, wide = ScriptedIntake(otherwise=at_most(1)), ScriptedIntake(otherwise=at_most(2))
    await start(nursery, narrow, wide)
    signal = Signal(narrow, wide)
    words = b"a b c".split()

    async def operation() -> None:
        nonlocal signal
        for intake in (narrow, wide):
            intake.requests.clear()
        signal = Signal(narrow, wide)
        signal.put(*words)
        await signal.fanout.flush(wait_for_open_breaker=True)

    async def check(completed: bool) -> None:
        assert_closes(*signal.accounts)
        for account in signal.accounts:
            assert account.snapshot().delivered.items + account.snapshot().held.items == 3
            assert not completed or account.snapshot().held.items == 0
        await signal.flush()
        for intake, account, most in zip((narrow, wide), signal.accounts, (1, 2), strict=True):
            taken = words_taken(intake, most)
            assert set(taken) == set(words)
            snapshot = account.snapshot()
            assert (snapshot.delivered.items, snapshot.dropped) == (3, {})
            # What was under way when it was cancelled may have arrived: that, and only that, is counted.
            assert taken.total() - 3 <= snapshot.maybe_twice.items
        await signal.client.aclose()

    assert await cancel_at_every_step(operation, check) > 20


weather = st.lists(st.sampled_from([202, 413, 413, 503, 429, Hangup()]), max_size=12)


@given(weather, weather, st.lists(st.integers(1, 6), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None)
def test_in_any_weather_every_item_ends_once_at_every_endpoint(
    script: list[Step], other_script: list[Step], lengths: list[int]
) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            intakes = [ScriptedIntake(script), ScriptedIntake(other_script)]
            await start(nursery, *intakes)
            signal = Signal(*intakes)
            for number, length in enumerate(lengths):
                signal.put(*(b"%d.%d" % (number, word) for word in range(length)))
            for _ in range(12):
                await signal.flush()
            for account in signal.accounts:
                snapshot = account.snapshot()
                dropped = sum(amount.items for amount in snapshot.dropped.values())
                assert set(snapshot.dropped) <= {"refused_413"}
                assert (snapshot.held.items, snapshot.delivered.items + dropped) == (0, sum(lengths))
            await signal.client.aclose()
            nursery.cancel_scope.cancel()

    trio.run(main)
