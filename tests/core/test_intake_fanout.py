"""Dual shipping: an endpoint's trouble is its own, and every account closes at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

import anyio
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from ddx_core.http import Hangup
from ddx_core.intake import ApiKey, ApiKeySource, ClientSettings, Fanout, IntakeClient, RetryPolicy, open_fanout
from ddx_core.intake.breaker import opens_after
from ddx_core.stats import Account, Amount
from tests.support.builders import KeyRing, a_payload, an_endpoint, assert_closes
from tests.support.cancel import cancel_at_every_step
from tests.support.clock import HandClock, passing
from tests.support.intake import ScriptedIntake, Step, hang, intake_in_a_thread, with_retry_after

once = RetryPolicy(max_attempts=1)


class Signal:
    """A fanout over the given intakes, with its account; the first is the primary."""

    def __init__(
        self,
        *intakes: ScriptedIntake,
        policy: RetryPolicy = once,
        max_bytes: int = 1000,
        keys: Sequence[ApiKeySource | None] = (),
        attempt_s: float = 10.0,
    ) -> None:
        self.clock = HandClock()
        self.account = Account("logs")
        self.client = IntakeClient(ClientSettings(attempt_s=attempt_s), policy, wall_clock=self.clock)
        names = ["main", "second", "third"]
        endpoints = [
            an_endpoint(intake.url, name=name, key=key)
            for intake, name, key in zip(intakes, names, [*keys, None, None, None], strict=False)
        ]
        self.fanout: Fanout = open_fanout(self.account, endpoints, self.client, max_bytes=max_bytes)

    @property
    def accounts(self) -> list[Account]:
        return [self.account, *self.fanout.accounts]

    def put(self, *bodies: bytes) -> None:
        for body in bodies:
            self.account.accept(1, len(body))
            self.fanout.put(a_payload(body))
            assert_closes(*self.accounts)

    async def flush(self, *, blocking: bool = False, seconds: float = 10, last_chance: bool = False) -> bool:
        """False: cut short."""
        with anyio.move_on_after(seconds) as scope:
            await self.fanout.flush(wait_for_open_breaker=not blocking, last_chance=last_chance)
        assert_closes(*self.accounts)
        return not scope.cancelled_caught

    def delivered(self) -> list[int]:
        return [account.snapshot().delivered.items for account in self.accounts]

    def held(self) -> list[int]:
        return [account.snapshot().held.items for account in self.accounts]


async def start(nursery: trio.Nursery, *intakes: ScriptedIntake) -> None:
    for intake in intakes:
        await intake.start(nursery)


async def test_every_endpoint_gets_every_payload(nursery: trio.Nursery) -> None:
    one, two = ScriptedIntake(), ScriptedIntake()
    await start(nursery, one, two)
    signal = Signal(one, two)
    signal.put(b"a", b"b", b"c", b"d", b"e", b"f")
    assert signal.held() == [6, 6]
    assert await signal.flush()
    assert sorted(one.bodies) == sorted(two.bodies) == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert signal.delivered() == [6, 6]
    assert [account.name for account in signal.accounts] == ["logs", "logs@second"]
    assert not signal.fanout.is_in_trouble
    await signal.client.aclose()


async def test_nothing_queued_is_nothing_sent(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake()
    await start(nursery, intake)
    signal = Signal(intake)
    assert await signal.flush()
    assert not intake.requests


async def test_an_endpoint_that_hangs_delays_nobody_else(standing_clock: MockClock, nursery: trio.Nursery) -> None:
    fine, hanging = ScriptedIntake(), ScriptedIntake(otherwise=hang)
    await start(nursery, fine, hanging)

    def is_through(signal: Signal) -> bool:
        return sorted(signal.delivered()) == [0, 20]

    for order in ((fine, hanging), (hanging, fine)):
        fine.requests.clear()
        signal = Signal(*order)
        signal.put(*[b"%d" % number for number in range(20)])
        async with passing(0.3, when=partial(is_through, signal)):
            assert not await signal.flush(seconds=0.3)
        assert len(fine.requests) == 20
        assert sorted(signal.delivered()) == [0, 20]
        assert sorted(signal.held()) == [0, 20]
        await signal.client.aclose()


async def test_an_endpoint_that_refuses_loses_only_its_own(nursery: trio.Nursery) -> None:
    fine, refusing = ScriptedIntake(), ScriptedIntake(otherwise=413)
    await start(nursery, fine, refusing)
    signal = Signal(fine, refusing)
    signal.put(b"a", b"b")
    assert await signal.flush()
    assert signal.delivered() == [2, 0]
    assert signal.accounts[1].dropped("refused_413") == Amount(2, 2)
    assert not signal.account.snapshot().dropped
    await signal.client.aclose()


async def test_a_key_source_that_fails_stops_only_its_endpoint(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def get(self) -> ApiKey | None:
            raise RuntimeError("the vault is on fire")

        async def refused(self, key: ApiKey) -> bool:
            raise NotImplementedError

    fine, other = ScriptedIntake(), ScriptedIntake()
    await start(nursery, fine, other)
    signal = Signal(fine, other, keys=[None, Broken()])
    signal.put(b"a", b"b")
    assert await signal.flush()
    assert signal.delivered() == [2, 0]
    assert signal.held() == [0, 2]
    assert "intake_send_failed endpoint=second" in caplog.text
    await signal.client.aclose()


async def test_a_full_queue_drops_its_oldest_and_counts_them(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake()
    await start(nursery, intake)
    signal = Signal(intake, max_bytes=4)
    assert signal.fanout.has_room()
    signal.put(b"aa", b"bb")
    assert not signal.fanout.has_room()
    signal.put(b"cc", b"way too large")
    assert signal.account.dropped("queue_full") == Amount(2, 2 + 13)
    await signal.flush()
    assert sorted(intake.bodies) == [b"bb", b"cc"]
    await signal.client.aclose()


async def test_a_payload_larger_than_its_queue_is_taken_while_there_is_room_for_another(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([503, 503])
    await start(nursery, intake)
    signal = Signal(intake, max_bytes=10)
    signal.put(b"small", b"far too large for it")
    assert not signal.fanout.has_room()
    assert await signal.flush()
    assert not signal.account.snapshot().dropped
    signal.put(b"another one too large")
    assert signal.account.dropped("queue_full") == Amount(1, 21)
    assert await signal.flush()
    assert (signal.delivered(), signal.held()) == ([2], [0])
    await signal.client.aclose()


async def test_a_payload_larger_than_its_queue_is_the_first_to_go_when_more_comes(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake()
    await start(nursery, intake)
    signal = Signal(intake, max_bytes=10)
    signal.put(b"far too large for it", b"ordinary")
    assert signal.account.dropped("queue_full") == Amount(1, 20)
    assert await signal.flush()
    assert intake.bodies == [b"ordinary"]
    await signal.client.aclose()


async def test_what_fails_is_kept_and_goes_out_with_the_next_flush(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([503, 503])
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"a", b"b")
    assert await signal.flush()
    assert signal.held() == [2]
    assert await signal.flush()
    assert signal.delivered() == [2]
    assert signal.account.snapshot().maybe_twice == Amount()
    await signal.client.aclose()


async def test_a_lost_reply_is_counted_as_maybe_twice(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([Hangup()])
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"abc")
    await signal.flush()
    assert signal.account.snapshot().maybe_twice == Amount()  # not yet: it may never be sent again
    await signal.flush()
    snapshot = signal.account.snapshot()
    assert (snapshot.delivered, snapshot.maybe_twice) == (Amount(1, 3), Amount(1, 3))
    await signal.client.aclose()


async def test_a_flush_that_is_cut_off_in_a_pause_leaves_no_doubt(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([503])
    await start(nursery, intake)
    signal = Signal(intake, policy=RetryPolicy(base_s=20, cap_s=20))
    signal.put(b"a")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as flushing:
            flushing.start_soon(signal.flush)
            await intake.arrived.wait()
            await trio.sleep(0.1)
            scope.cancel()
    await signal.flush()
    assert signal.delivered() == [1]
    assert signal.account.snapshot().maybe_twice == Amount()
    await signal.client.aclose()


# --- the breaker ------------------------------------------------------------------------------------------------------


async def open_breaker(signal: Signal, body: bytes = b"a") -> None:
    signal.put(body)
    for _ in range(opens_after):
        assert not signal.fanout.primary.breaker.is_open
        await signal.flush(blocking=True)
    assert signal.fanout.primary.breaker.is_open
    assert signal.fanout.is_in_trouble


async def test_an_open_breaker_is_passed_by_when_somebody_waits(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    intake = ScriptedIntake(otherwise=503)
    await start(nursery, intake)
    signal = Signal(intake)
    await open_breaker(signal)
    assert 'intake_unavailable about="main all" reason="main: status 503 after 1 attempts"' in caplog.text
    requests = len(intake.requests)
    signal.put(b"b", b"c", b"d")
    assert await signal.flush(blocking=True, seconds=1)
    assert len(intake.requests) == requests
    assert signal.held() == [4]
    await signal.client.aclose()


async def test_a_background_flush_sends_one_probe_and_the_rest_behind_it(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([503] * opens_after)
    await start(nursery, intake)
    signal = Signal(intake)
    await open_breaker(signal)
    signal.put(b"b", b"c", b"d")
    intake.then(503)
    before = len(intake.requests)
    await signal.flush()
    assert len(intake.requests) == before + 1
    await signal.flush()
    assert signal.delivered() == [4]
    assert not signal.fanout.primary.breaker.is_open
    assert not signal.fanout.is_in_trouble
    await signal.client.aclose()


async def test_an_endpoint_that_hangs_until_the_deadline_opens_its_breaker(
    standing_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Otherwise every flush at the end of an invocation would wait its whole limit for it, for as long as it hangs."""
    intake = ScriptedIntake(otherwise=hang)
    await start(nursery, intake)

    def have_come(count: int) -> bool:
        return len(intake.requests) >= count

    signal = Signal(intake)
    signal.put(b"a")
    for number in range(opens_after):
        async with passing(0.25, when=partial(have_come, number + 1)):
            assert not await signal.flush(blocking=True, seconds=0.25)
    assert await signal.flush(blocking=True, seconds=0.25)
    assert signal.held() == [1]
    await signal.client.aclose()


async def test_a_deadline_that_left_no_time_is_not_the_endpoints_fault(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake()
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"a")
    for _ in range(opens_after + 1):
        await signal.flush(blocking=True, seconds=0)
    assert not signal.fanout.primary.breaker.is_open
    assert await signal.flush(blocking=True)
    assert signal.delivered() == [1]
    await signal.client.aclose()


async def test_nobody_waits_behind_a_background_flush_that_hangs(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([503] * opens_after, otherwise=hang)
    await start(nursery, intake)
    signal = Signal(intake)
    await open_breaker(signal)
    intake.arrived = trio.Event()
    async with trio.open_nursery() as background:
        background.start_soon(signal.flush)
        await intake.arrived.wait()
        signal.put(b"b")
        assert await signal.flush(blocking=True, seconds=1)
        background.cancel_scope.cancel()
    await signal.client.aclose()


async def test_a_flush_waits_for_what_another_one_has_in_flight(nursery: trio.Nursery) -> None:
    released = trio.Event()

    async def slow(request: object) -> int:
        await released.wait()
        return 202

    intake = ScriptedIntake([slow])
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"a")
    async with trio.open_nursery() as flushing:
        flushing.start_soon(signal.flush)
        await intake.arrived.wait()
        assert signal.fanout.primary.is_empty
        assert not await signal.flush(blocking=True, seconds=0.1)
        released.set()
    assert signal.delivered() == [1]
    assert len(intake.requests) == 1
    await signal.client.aclose()


async def test_without_a_key_data_waits_and_nobody_is_to_blame(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake()
    await start(nursery, intake)
    keys = KeyRing(None)
    signal = Signal(intake, keys=[keys])
    signal.put(b"a")
    for _ in range(opens_after + 1):
        assert await signal.flush(blocking=True)
    assert signal.held() == [1]
    keys.add("late")
    assert await signal.flush(blocking=True)
    assert signal.delivered() == [1]
    await signal.client.aclose()


# --- pauses that the endpoint asks for --------------------------------------------------------------------------------


async def test_retry_after_holds_for_later_flushes_too(nursery: trio.Nursery) -> None:
    intake, other = ScriptedIntake([with_retry_after(429, "60")]), ScriptedIntake()
    await start(nursery, intake, other)
    signal = Signal(intake, other)
    signal.put(b"a")
    await signal.flush()
    assert signal.delivered() == [0, 1]
    signal.clock.advance(59)
    signal.put(b"b")
    assert await signal.flush()
    assert len(intake.requests) == 1
    assert signal.delivered() == [0, 2]  # another endpoint has asked for nothing
    signal.clock.advance(2)
    assert await signal.flush()
    assert signal.delivered() == [2, 2]
    await signal.client.aclose()


async def test_the_last_chance_is_taken_in_spite_of_a_pause(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake([with_retry_after(429, "60")])
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"a")
    await signal.flush()
    await signal.flush(last_chance=True)
    assert signal.delivered() == [1]
    await signal.client.aclose()


@pytest.mark.parametrize("seconds", [301, 7 * 24 * 3600, -7 * 24 * 3600])
async def test_no_pause_is_endless_whatever_the_clock_does(nursery: trio.Nursery, seconds: float) -> None:
    intake = ScriptedIntake([with_retry_after(503, "86400")])
    await start(nursery, intake)
    signal = Signal(intake)
    signal.put(b"a")
    await signal.flush()
    signal.clock.advance(seconds)
    await signal.flush()
    assert signal.delivered() == [1]
    await signal.client.aclose()


# --- conservation -----------------------------------------------------------------------------------------------------


async def test_cancelled_at_any_step_a_reset_is_no_error_of_the_flush(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake(otherwise=Hangup())
    await start(nursery, intake)
    signal = Signal(intake)

    async def operation() -> None:
        nonlocal signal
        signal = Signal(intake)
        signal.put(b"a")
        await signal.fanout.flush(wait_for_open_breaker=True)

    async def check(completed: bool) -> None:
        assert_closes(*signal.accounts)
        assert signal.held() == [1]
        await signal.client.aclose()

    assert await cancel_at_every_step(operation, check) > 10


async def test_cancelled_at_any_step_every_payload_is_held_or_settled(nursery: trio.Nursery) -> None:
    one, two = ScriptedIntake(), ScriptedIntake()
    await start(nursery, one, two)
    signal = Signal(one, two)
    bodies = [b"a", b"b"]

    async def operation() -> None:
        nonlocal signal
        for intake in (one, two):
            intake.requests.clear()
        signal = Signal(one, two)
        signal.put(*bodies)
        await signal.fanout.flush(wait_for_open_breaker=True)

    async def check(completed: bool) -> None:
        assert_closes(*signal.accounts)
        delivered_before = signal.delivered()
        assert [delivered + held for delivered, held in zip(delivered_before, signal.held(), strict=True)] == [2, 2]
        if completed:
            assert delivered_before == [2, 2]
        # The next flush brings the rest out; what arrives twice was counted as such.
        await signal.fanout.flush(wait_for_open_breaker=True)
        for intake, account in zip((one, two), signal.accounts, strict=True):
            assert set(intake.bodies) == set(bodies)
            snapshot = account.snapshot()
            assert snapshot.delivered.items == 2
            assert len(intake.bodies) - len(bodies) <= snapshot.maybe_twice.items
        await signal.client.aclose()

    assert await cancel_at_every_step(operation, check) > 20


steps = st.lists(st.sampled_from([202, 202, 503, 429, 413, Hangup(), with_retry_after(503, "0")]), max_size=8)


@given(steps, steps, st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_in_any_weather_every_payload_ends_once_at_every_endpoint(
    weather: list[Step], other_weather: list[Step], count: int
) -> None:
    bodies = [b"%d" % number for number in range(count)]

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            intakes = [ScriptedIntake(weather), ScriptedIntake(other_weather)]
            await start(nursery, *intakes)
            signal = Signal(*intakes, policy=RetryPolicy(max_attempts=2, base_s=0.001))
            signal.put(*bodies)
            for _ in range(10):
                await signal.flush()
            assert signal.held() == [0, 0]
            for intake, account in zip(intakes, signal.accounts, strict=True):
                snapshot = account.snapshot()
                assert snapshot.closes
                dropped = sum(amount.items for amount in snapshot.dropped.values())
                assert snapshot.delivered.items + dropped == count
                seen = Counter(intake.bodies)
                assert set(seen) == set(bodies)
            await signal.client.aclose()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_it_runs_on_asyncio_as_well() -> None:
    one, two = ScriptedIntake([503, Hangup()]), ScriptedIntake(otherwise=hang)

    async def main() -> None:
        signal = Signal(one, two)
        signal.put(*[b"%d" % number for number in range(10)])
        for _ in range(40):
            await signal.flush(seconds=0.1)
            if signal.delivered()[0] == 10:
                break
        assert signal.delivered() == [10, 0]
        assert signal.held() == [0, 10]
        await signal.client.aclose()

    with intake_in_a_thread(one, two):
        anyio.run(main, backend="asyncio")
