"""An intake that is slow to answer: who waits for it gives up, and what is on its way is neither cut off nor sent twice."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from ddx_core.http import Hangup, Request, Response
from ddx_core.intake import ClientSettings, EndpointQueue, IntakeClient, Payload, RetryPolicy, Sent, open_fanout
from ddx_core.intake.endpoint_queue import fair_chance_s, last_grace, last_grace_s, parallel_sends
from ddx_core.stats import Account
from tests.support.builders import a_payload, an_endpoint, assert_closes
from tests.support.clock import HandClock, passing, until
from tests.support.intake import ScriptedIntake, Step, hang, with_retry_after

patience_s = fair_chance_s + 0.05


def after(seconds: float, answer: int | Hangup = 202, *, taken: list[bytes] | None = None) -> Step:
    """Take the request, and answer later; or, with a Hangup, never."""

    async def take(request: Request) -> int | Hangup:
        if taken is not None:
            taken.append(request.body)
        await trio.sleep(seconds)
        return answer

    return take


class Signal:
    """One queue to one intake, whose sends go on in `carrier`."""

    def __init__(self, intake: ScriptedIntake, carrier: trio.Nursery, *, max_attempts: int) -> None:
        self.account = Account("logs")
        self.clock = HandClock()
        self.client = IntakeClient(
            ClientSettings(attempt_s=20.0), RetryPolicy(max_attempts=max_attempts), wall_clock=self.clock
        )
        self.client.carry_on_in(carrier)
        self.intake = intake
        self.fanout = open_fanout(self.account, [an_endpoint(intake.url)], self.client, max_bytes=10_000)

    @property
    def queue(self) -> EndpointQueue:
        return self.fanout.primary

    def put(self, *bodies: bytes) -> None:
        for body in bodies:
            self.account.accept(1, len(body))
            self.fanout.put(a_payload(body))

    async def flush(self, seconds: float = 10.0, *, blocking: bool = True, last_chance: bool = False) -> bool:
        """False: cut short."""
        with trio.move_on_after(seconds) as scope:
            await self.fanout.flush(wait_for_open_breaker=last_chance or not blocking, last_chance=last_chance)
        assert_closes(self.account)
        return not scope.cancelled_caught

    async def flush_in_vain(self, when: Callable[[], bool] = lambda: True, *, last_chance: bool = False) -> None:
        """Cut short by the end of its patience, which comes from `when` on."""
        async with passing(patience_s, when=when):
            assert not await self.flush(patience_s, last_chance=last_chance)

    def has_asked(self, times: int) -> Callable[[], bool]:
        return lambda: len(self.intake.requests) >= times

    @property
    def told(self) -> tuple[int, int, int]:
        """Delivered, held, maybe twice."""
        snapshot = self.account.snapshot()
        return snapshot.delivered.items, snapshot.held.items, snapshot.maybe_twice.items


@asynccontextmanager
async def a_signal(
    *steps: Step, otherwise: Step = 202, max_attempts: int = 1
) -> AsyncGenerator[tuple[Signal, ScriptedIntake]]:
    intake = ScriptedIntake(steps, otherwise=otherwise)
    async with trio.open_nursery() as serving:
        await intake.start(serving)
        async with trio.open_nursery() as carrier:
            signal = Signal(intake, carrier, max_attempts=max_attempts)
            yield signal, intake
            carrier.cancel_scope.cancel()
        await signal.client.aclose()
        serving.cancel_scope.cancel()


async def test_who_gives_up_does_not_cut_off_what_is_on_its_way(standing_clock: MockClock) -> None:
    async with a_signal(otherwise=after(0.8)) as (signal, intake):
        signal.put(b"1", b"2", b"3")
        await signal.flush_in_vain(signal.has_asked(3))
        assert signal.told == (0, 3, 0)
        assert not signal.queue.holds_nothing
        async with passing(0.8):
            assert await signal.flush(blocking=False)
        assert signal.told == (3, 0, 0)
        assert sorted(intake.bodies) == [b"1", b"2", b"3"]


async def test_what_went_on_by_itself_is_settled_with_no_flush_at_all(standing_clock: MockClock) -> None:
    async with a_signal(otherwise=after(0.6)) as (signal, intake):
        signal.put(b"1")
        await signal.flush_in_vain(signal.has_asked(1))
        async with passing(0.6):
            await until(lambda: signal.told == (1, 0, 0))
        assert intake.bodies == [b"1"]
        assert not signal.queue.breaker.is_open


async def test_nobody_pays_twice_for_waiting_and_new_payloads_do_not_wait_behind_old_ones(
    standing_clock: MockClock,
) -> None:
    async with a_signal(hang) as (signal, intake):
        signal.put(b"1")
        await signal.flush_in_vain(signal.has_asked(1))
        signal.put(b"2")
        assert await signal.flush(patience_s)
        assert intake.bodies == [b"1", b"2"]
        assert signal.told == (1, 1, 0)


async def test_no_more_than_four_are_on_their_way_however_many_flushes_have_given_up(standing_clock: MockClock) -> None:
    async with a_signal(otherwise=after(1.0)) as (signal, intake):
        for number in range(3):
            signal.put(*(b"%d%d" % (number, each) for each in range(3)))
            asked = min(3 * (number + 1), parallel_sends)
            await signal.flush_in_vain(signal.has_asked(asked))
            assert len(intake.requests) == asked
            signal.queue.breaker.delivered()  # or nobody would wait any more
        # Each answer lets others out.
        async with passing(1.0, 1.0, 1.0):
            assert await signal.flush(blocking=False)
        assert signal.told == (9, 0, 0)
        assert len(set(intake.bodies)) == len(intake.bodies) == 9


async def test_an_endpoint_that_lets_two_flushes_wait_is_waited_for_no_more_until_it_answers(
    standing_clock: MockClock,
) -> None:
    async with a_signal(after(1.5), after(1.0)) as (signal, intake):
        for number, body in enumerate((b"1", b"2"), start=1):
            assert not signal.queue.breaker.is_open
            signal.put(body)
            await signal.flush_in_vain(signal.has_asked(number))
        assert signal.queue.breaker.is_open
        signal.put(b"3")
        began = trio.current_time()
        assert await signal.flush()
        assert trio.current_time() == began
        # A flush in the background sees what becomes of them, and then sends the rest.
        async with passing(1.5):
            assert await signal.flush(blocking=False)
        assert not signal.queue.breaker.is_open
        assert signal.told == (3, 0, 0)
        assert intake.bodies == [b"1", b"2", b"3"]


async def test_the_last_flush_calls_back_what_hangs_and_tries_it_once_more(standing_clock: MockClock) -> None:
    async with a_signal(hang, after(0.1)) as (signal, intake):
        signal.put(b"1")
        await signal.flush_in_vain(signal.has_asked(1))
        async with passing(last_grace_s), passing(0.1, when=signal.has_asked(2)):
            assert await signal.flush(4 * last_grace_s, last_chance=True)
        assert intake.bodies == [b"1", b"1"]
        assert signal.told == (1, 0, 1)


async def test_two_last_flushes_send_nothing_twice_and_the_second_sends_what_is_new(standing_clock: MockClock) -> None:
    async with a_signal(hang) as (signal, intake):
        signal.put(b"1")
        await signal.flush_in_vain(signal.has_asked(1), last_chance=True)
        signal.put(b"2")
        await signal.flush_in_vain(lambda: signal.told == (1, 1, 0), last_chance=True)
        assert intake.bodies == [b"1", b"2"]
        assert signal.told == (1, 1, 0)
    (left,) = signal.queue.take_spoolable("logs")
    assert (left.payload.body, left.uncertain) == (b"1", True)


async def test_the_last_flush_lets_what_is_nearly_there_arrive(standing_clock: MockClock) -> None:
    async with a_signal(after(patience_s + last_grace_s / 4)) as (signal, intake):
        signal.put(b"1")
        await signal.flush_in_vain(signal.has_asked(1))
        async with passing(last_grace_s / 4):
            assert await signal.flush(last_chance=True)
        assert intake.bodies == [b"1"]
        assert signal.told == (1, 0, 0)


async def test_a_pause_that_ends_after_the_flush_is_waited_for_by_nobody_and_holds_for_new_payloads(
    standing_clock: MockClock,
) -> None:
    async with a_signal(with_retry_after(429, "10"), max_attempts=4) as (signal, intake):
        signal.put(b"1")
        began = trio.current_time()
        assert await signal.flush(2.0)
        assert trio.current_time() - began < 1.0
        assert signal.queue.is_left_alone
        signal.put(b"2")
        assert await signal.flush(2.0)
        assert intake.bodies == [b"1"]
        signal.clock.advance(11)
        assert await signal.flush(2.0)
        assert sorted(intake.bodies) == [b"1", b"1", b"2"]
        assert signal.told == (2, 0, 0)


async def test_a_pause_that_is_asked_for_after_the_wait_was_given_up_holds_too(standing_clock: MockClock) -> None:
    async def late(request: Request) -> Response:
        await trio.sleep(patience_s + 0.2)
        return with_retry_after(503, "1")

    async with a_signal(late, max_attempts=4) as (signal, intake):
        signal.put(b"1")
        await signal.flush_in_vain(signal.has_asked(1))
        async with passing(0.2):
            await until(lambda: signal.queue.is_left_alone)
        signal.put(b"2")
        assert await signal.flush()
        assert intake.bodies == [b"1"]
        assert signal.told == (0, 2, 0)


async def test_what_an_earlier_last_flush_has_under_way_and_is_too_large_goes_in_parts_with_the_second(
    standing_clock: MockClock,
) -> None:
    def split(payload: Payload) -> list[Payload]:
        return [a_payload(body.encode(), items=1) for body in payload.body.decode()]

    async with a_signal(after(patience_s + 0.3, 413)) as (signal, intake):
        signal.fanout.split_with(split)
        signal.account.accept(2, 2)
        signal.fanout.put(a_payload(b"12", items=2))
        await signal.flush_in_vain(signal.has_asked(1), last_chance=True)
        async with passing(0.3):
            assert await signal.flush(5, last_chance=True)
        assert sorted(intake.bodies) == [b"1", b"12", b"2"]
        assert signal.told == (2, 0, 0)


async def test_after_a_freeze_new_payloads_do_not_take_the_kept_connections_beside_one_in_use(
    standing_clock: MockClock,
) -> None:
    """Kept connections may have died without a word meanwhile, and nothing would come of what is sent on one of them."""
    async with a_signal(hang) as (signal, intake):
        signal.put(b"1", b"2")
        await signal.flush_in_vain(lambda: signal.told == (1, 1, 0))
        signal.clock.advance(3600)
        signal.put(b"3")
        assert await signal.flush(patience_s)
        assert intake.connections == 3


async def test_a_defect_that_shows_when_it_is_called_back_does_not_end_the_carrier(
    standing_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(*_: object, **__: object) -> Sent:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise RuntimeError("a defect")
        raise AssertionError

    async with a_signal() as (signal, _):
        monkeypatch.setattr(signal.client, "send", send)
        signal.put(b"1")
        await signal.flush_in_vain()
        async with passing(last_grace(patience_s), patience_s):
            await signal.flush(patience_s, last_chance=True)
        assert signal.told == (0, 1, 0)


@pytest.mark.parametrize("seconds", [0.0, 0.001])
async def test_a_last_flush_without_time_leaves_nothing_on_the_way(standing_clock: MockClock, seconds: float) -> None:
    async with a_signal(otherwise=hang) as (signal, _):
        signal.put(b"1", b"2")
        await signal.flush_in_vain(signal.has_asked(2))
        async with passing(seconds):
            await signal.flush(seconds, last_chance=True)
        assert signal.queue.is_empty is False
        left = signal.queue.take_spoolable("logs")
        assert sorted(each.payload.body for each in left) == [b"1", b"2"]
        assert all(each.uncertain for each in left)


async def test_the_end_of_the_carrier_brings_everything_back(standing_clock: MockClock) -> None:
    async with a_signal(otherwise=hang) as (signal, _):
        signal.put(b"1")
        await signal.flush_in_vain(signal.has_asked(1))
    assert_closes(signal.account)
    assert [each.payload.body for each in signal.queue.take_spoolable("logs")] == [b"1"]


@given(st.integers(0, 1 << 32))
@settings(max_examples=8)
def test_in_any_weather_copies_beyond_the_first_are_counted(seed: int) -> None:
    """Patience of any length, answers that take their time, lost replies, calls back."""
    chance = random.Random(seed)

    async def main() -> None:
        taken: list[bytes] = []
        kinds: list[Step] = [
            503,
            *(after(chance.uniform(0, 0.05), chance.choice([202, Hangup()]), taken=taken) for _ in range(4)),
        ]
        weather = [chance.choice(kinds) for _ in range(20)]
        bodies = [b"%d" % number for number in range(8)]
        async with a_signal(*weather, otherwise=after(0, taken=taken)) as (signal, _):
            for body in bodies:
                signal.put(body)
                await signal.flush(
                    chance.choice([0.0, 0.01, 0.03, 1.0]),
                    blocking=chance.random() < 0.7,
                    last_chance=chance.random() < 0.3,
                )
            for _ in range(30):
                if await signal.flush(blocking=False) and not signal.told[1]:
                    break
            delivered, held, maybe_twice = signal.told
            assert (delivered, held, set(taken)) == (len(bodies), 0, set(bodies))
            assert len(taken) - len(bodies) <= maybe_twice

    trio.run(main)
