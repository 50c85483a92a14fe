"""A signal that uses several APIs of an endpoint: the trouble of one is not that of the others, at any endpoint."""

from __future__ import annotations

from functools import partial

import msgspec
import trio
from trio.testing import MockClock

from ddx_core.http import Request
from ddx_core.intake import Fanout, IntakeClient, Lane, Payload, RetryPolicy, open_fanout
from ddx_core.spool import Spool, queue_spooled, spool_queues
from ddx_core.stats import Account
from tests.support.builders import a_payload, an_endpoint, assert_closes
from tests.support.clock import passing
from tests.support.intake import ScriptedIntake

lanes = (Lane(frozenset(["/a", "/c"]), 0.5), Lane(frozenset(["/b"]), 0.5))


def payload(path: str, body: bytes) -> Payload:
    return msgspec.structs.replace(a_payload(body), path=path)


class Signal:
    def __init__(self, *intakes: ScriptedIntake, max_bytes: int = 1000) -> None:
        self.account = Account("metrics")
        endpoints = [an_endpoint(intake.url, name=f"e{number}") for number, intake in enumerate(intakes)]
        self.client = IntakeClient(policy=RetryPolicy(max_attempts=1))
        self.fanout: Fanout = open_fanout(self.account, endpoints, self.client, max_bytes=max_bytes, lanes=lanes)

    @property
    def accounts(self) -> list[Account]:
        return [self.account, *self.fanout.accounts]

    def put(self, path: str, body: bytes) -> None:
        self.account.accept(1, len(body))
        self.fanout.put(payload(path, body))

    async def flush(self) -> None:
        with trio.fail_after(20):
            await self.fanout.flush(wait_for_open_breaker=False)
        assert_closes(*self.accounts)

    def delivered(self) -> list[int]:
        return [account.snapshot().delivered.items for account in self.accounts]


async def test_a_path_that_always_fails_holds_back_itself_alone(nursery: trio.Nursery) -> None:
    fine = ScriptedIntake()
    failing = ScriptedIntake(otherwise=lambda request: 503 if request.path == "/b" else 202)
    await fine.start(nursery)
    await failing.start(nursery)
    signal = Signal(failing, fine)
    for number in range(6):
        for path in ("/a", "/b", "/c"):
            signal.put(path, b"%d" % number)
        await signal.flush()
    assert sorted((each.path, each.body) for each in fine.requests) == sorted(
        (path, b"%d" % number) for number in range(6) for path in ("/a", "/b", "/c")
    )
    assert [each.path for each in failing.requests if each.path != "/b"].count("/a") == 6
    assert signal.delivered() == [12, 18]
    assert signal.account.snapshot().held.items == 6
    assert [account.name for account in signal.accounts] == ["metrics", "metrics@e1"]
    await signal.client.aclose()


async def test_each_lane_has_its_share_of_the_bytes(nursery: trio.Nursery) -> None:
    intake = ScriptedIntake()
    await intake.start(nursery)
    signal = Signal(intake, max_bytes=20)
    for _ in range(3):
        signal.put("/b", b"12345")
    signal.put("/a", b"1234567890")
    assert_closes(*signal.accounts)
    assert signal.account.dropped("queue_full").items == 1
    assert not signal.fanout.has_room()
    await signal.flush()
    assert [each.path for each in intake.requests].count("/a") == 1
    await signal.client.aclose()


async def test_what_was_spooled_finds_its_lane_again(nursery: trio.Nursery, tmp_path: object) -> None:
    intake = ScriptedIntake()
    await intake.start(nursery)
    before, after = Signal(intake), Signal(intake)
    before.put("/a", b"1")
    before.put("/b", b"2")
    spool = Spool(f"{tmp_path}/spool", max_bytes=10_000)
    spool_queues(spool, {"metrics": before.fanout})
    assert queue_spooled(spool, {"metrics": after.fanout}.get).items == 2
    await after.flush()
    assert {(each.path, each.body) for each in intake.requests} == {("/a", b"1"), ("/b", b"2")}
    await after.client.aclose()


async def test_each_repeat_is_counted_when_it_goes_out_even_if_it_is_cut_off(
    standing_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def slow(_: Request) -> int:
        await trio.sleep(0.6)
        return 202

    intake = ScriptedIntake(otherwise=slow)
    await intake.start(nursery)
    signal = Signal(intake)
    signal.put("/a", b"1")
    seen: list[int] = []

    def have_come(count: int) -> bool:
        return len(intake.requests) >= count

    for number in range(3):
        async with passing(0.3, when=partial(have_come, number + 1)):
            with trio.move_on_after(0.3):
                await signal.fanout.flush(wait_for_open_breaker=True)
        seen.append(signal.account.snapshot().maybe_twice.items)
        assert_closes(*signal.accounts)
    assert len(intake.requests) == 3
    assert seen == [0, 1, 2]
    await signal.client.aclose()
