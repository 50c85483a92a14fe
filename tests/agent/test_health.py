"""The agent's own accounts as metrics: what was added, once, and never because of themselves."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from ddx_agent.health import HealthMetrics, told_every_s
from ddx_core.intake import Endpoint, StaticKey
from ddx_core.pipeline import FlushKind, Pipeline
from ddx_core.stats import Account
from tests.metrics.support import Rig


class Logs:
    """A signal that is nothing but its account."""

    name = "logs"

    def __init__(self) -> None:
        self.account = Account("logs")
        self.accounts = [self.account]

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        raise NotImplementedError

    async def flush(self, kind: FlushKind) -> None:
        raise NotImplementedError


class Told:
    def __init__(self, rig: Rig | None = None) -> None:
        self.rig = rig or Rig()
        self.logs = Logs()
        self.health = HealthMetrics(self.rig.pipeline, [self.logs], self.rig.clock)

    async def flush(self, kind: FlushKind = FlushKind.BLOCKING) -> dict[tuple[str, ...], float]:
        """What is told by this flush: (what, tags but for what is the same) → sum."""
        seen = len(self.rig.delivered)
        await self.health.flush(kind)
        self.rig.check()
        told = self.rig.delivered[seen:]
        return {
            (each.name.removeprefix("ddx.items."), *(tag.partition(":")[2] for tag in sorted(each.tags))): each.sum
            or 0.0
            for each in told
            if each.name.startswith("ddx.")
        }

    def later(self, seconds: float = told_every_s) -> None:
        self.rig.clock.advance(seconds)


async def test_what_was_added_is_told_by_signal_and_reason() -> None:
    told = Told()
    told.logs.account.accept(7, 70)
    told.logs.account.deliver(4, 40)
    told.logs.account.drop("buffer_full", 2, 20)
    told.logs.account.repeat(1, 10)
    told.rig.take("m:1:2|c", "bad")
    assert await told.flush() == {
        ("accepted", "logs"): 7, ("delivered", "logs"): 4, ("maybe_twice", "logs"): 1,
        ("dropped", "buffer_full", "logs"): 2, ("accepted", "metrics"): 3, ("dropped", "malformed", "metrics"): 1,
    }  # fmt: skip
    told.later()
    told.logs.account.accept(1, 10)
    told.logs.account.drop("buffer_full", 1, 10)
    assert await told.flush() == {
        ("accepted", "logs"): 1, ("dropped", "buffer_full", "logs"): 1, ("delivered", "metrics"): 2,
    }  # fmt: skip


async def test_what_comes_from_the_spool_was_told_by_the_life_that_accepted_it() -> None:
    told = Told()
    told.logs.account.restore(5, 50)
    told.logs.account.accept(2, 20)
    told.logs.account.deliver(7, 70)
    assert await told.flush() == {("accepted", "logs"): 2, ("delivered", "logs"): 7}


async def test_what_tells_of_itself_gives_rise_to_nothing() -> None:
    told = Told()
    told.logs.account.accept(1, 1)
    assert len(await told.flush()) == 1
    for _ in range(5):
        told.later()
        assert await told.flush() == {}
    assert told.rig.account.snapshot().accepted.items == 1


async def test_an_outage_and_samples_dropped_in_it_end_in_silence_too() -> None:
    told = Told(Rig(queue_bytes=150))
    told.rig.intake.is_down = True
    for _ in range(10):
        told.logs.account.accept(1, 1)
        told.later()
        await told.flush()
    assert told.rig.dropped["queue_full"] > 0
    told.rig.intake.is_down = False
    for _ in range(3):
        told.later()
        await told.flush(FlushKind.BACKGROUND)
    accepted = told.rig.account.snapshot().accepted.items
    for _ in range(5):
        told.later()
        assert await told.flush() == {}
    assert told.rig.account.snapshot().accepted.items == accepted
    # And nothing is withheld afterwards.
    told.rig.take("m:1:2:3|c")
    await told.flush()
    told.later()
    assert await told.flush() == {("accepted", "metrics"): 3, ("delivered", "metrics"): 3}


async def test_it_is_told_every_ten_seconds_and_at_the_end() -> None:
    told = Told()
    told.logs.account.accept(1, 1)
    assert await told.flush()
    told.later(9)
    told.logs.account.accept(1, 1)
    assert await told.flush() == {}
    assert await told.flush(FlushKind.FINAL) == {("accepted", "logs"): 1}
    told.rig.clock.advance(-3600)
    told.logs.account.accept(1, 1)
    assert await told.flush() == {("accepted", "logs"): 1}


async def test_accounts_of_additional_endpoints_are_told_apart_and_end_in_silence() -> None:
    rig = Rig(more_endpoints=[Endpoint(name="other", base_url="http://other", key=StaticKey("k"))])
    told = Told(rig)
    rig.take("m:1|c")
    assert (await told.flush()) == {("accepted", "metrics"): 1}
    told.later()
    assert await told.flush() == {
        ("delivered", "metrics"): 1, ("accepted", "metrics@other"): 1, ("delivered", "metrics@other"): 1,
    }  # fmt: skip
    for _ in range(5):
        told.later()
        assert await told.flush() == {}


@pytest.mark.parametrize("kind", [FlushKind.BACKGROUND, FlushKind.BLOCKING])
@pytest.mark.parametrize("signals", [["metrics"], ["metrics", "metrics@other"]])
async def test_the_sums_are_those_of_the_clients_samples(kind: FlushKind, signals: list[str]) -> None:
    """A flush in the background leaves the newest bucket in the aggregator, and our samples with it."""
    more = [Endpoint(name=signal.partition("@")[2], base_url="http://x", key=StaticKey("k")) for signal in signals[1:]]
    told = Told(Rig(more_endpoints=more))
    sums: Counter[tuple[str, ...]] = Counter()
    for _ in range(6):
        told.rig.take(*(f"m{number}:1|c" for number in range(10)))
        sums.update(await told.flush(kind))
        told.later(told_every_s + 1)
    for _ in range(6):
        sums.update(await told.flush(kind))
        told.later(told_every_s + 1)
    assert sums == {(what, signal): 60 for what in ("accepted", "delivered") for signal in signals}
    for _ in range(6):
        assert await told.flush(kind) == {}
        told.later(told_every_s + 1)


@pytest.mark.parametrize("is_reliable", [True, False])
@pytest.mark.parametrize("kind", [FlushKind.BACKGROUND, FlushKind.BLOCKING])
async def test_while_an_additional_endpoint_is_down_silence_sets_in_too(is_reliable: bool, kind: FlushKind) -> None:
    other = Endpoint(name="other", base_url="http://other", key=StaticKey("k"), is_reliable=is_reliable)
    rig = Rig(more_endpoints=[other])
    told = Told(rig)
    rig.intake.down.add("other")
    rig.take("m:1|c")
    sums: Counter[tuple[str, ...]] = Counter()
    for _ in range(6):
        sums.update(await told.flush(kind))
        told.later(told_every_s + 1)
    expected: dict[tuple[str, ...], float] = {
        ("accepted", "metrics"): 1, ("delivered", "metrics"): 1, ("accepted", "metrics@other"): 1,
    }  # fmt: skip
    if not is_reliable:
        expected["dropped", "unreliable_endpoint", "metrics@other"] = 1
    assert sums == expected
    for _ in range(6):
        assert await told.flush(kind) == {}
        told.later(told_every_s + 1)
    rig.intake.down.clear()
    for _ in range(6):
        sums.update(await told.flush(FlushKind.BACKGROUND))
        told.later(told_every_s + 1)
    if is_reliable:
        expected["delivered", "metrics@other"] = 1
    assert sums == expected


async def test_it_stands_in_for_the_pipeline() -> None:
    told = Told()
    pipeline: Pipeline = told.health
    assert pipeline.name == "metrics"
    assert list(pipeline.accounts) == [told.rig.account]
    async with trio.open_nursery() as nursery:
        await nursery.start(pipeline.serve)
        nursery.cancel_scope.cancel()
