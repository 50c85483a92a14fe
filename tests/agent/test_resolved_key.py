"""Keys that come late, fail, change and are refused."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from ddx_agent.secrets import KeySource, ResolvedKey
from ddx_agent.secrets import resolved_key as api_key
from ddx_core.errors import DdxError
from ddx_core.intake import ApiKey


class Vault:
    """Gives its answers one after the other, the last one for ever; an exception is raised, a number is a delay."""

    def __init__(self, *answers: str | BaseException | float) -> None:
        self._answers = list(answers)
        self.calls = 0

    async def fetch(self) -> str:
        self.calls += 1
        while True:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if isinstance(answer, str):
                return answer
            if isinstance(answer, BaseException):
                raise answer
            await trio.sleep(answer)


class Refused(DdxError):
    pass


@asynccontextmanager
async def running(vaults: Sequence[Vault], *, reload_interval_s: float | None = None) -> AsyncGenerator[ResolvedKey]:
    key = ResolvedKey(
        [KeySource(f"DD_{number}", vault.fetch) for number, vault in enumerate(vaults)],
        reload_interval_s=reload_interval_s,
        wall_clock=lambda: int((1_000_000 + trio.current_time()) * 1e9),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(key.run)
        yield key
        nursery.cancel_scope.cancel()


async def test_a_flush_waits_a_moment_for_the_first_key(autojump_clock: trio.testing.MockClock) -> None:
    async with running([Vault(0.3, "key")]) as key:
        assert await key.get() == ApiKey("key")
        assert key.state == "from DD_0"


async def test_a_flush_goes_on_without_when_the_key_takes_long(autojump_clock: trio.testing.MockClock) -> None:
    told: list[bool] = []
    async with running([Vault(5.0, "key")]) as key:
        key.on_key = lambda: told.append(True)
        began = trio.current_time()
        assert await key.get() is None
        assert trio.current_time() - began == api_key.first_wait_s
        await trio.sleep(6)
        assert await key.get() == ApiKey("key")
        assert told == [True]


async def test_a_source_that_fails_makes_room_for_the_next(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running([Vault(Refused("kms said no")), Vault(ValueError("SECRET")), Vault("plain")]) as key:
        assert await key.get() == ApiKey("plain")
        assert key.state == "from DD_2"
    assert "kms said no" in caplog.text
    assert "SECRET" not in caplog.text
    assert "plain" not in caplog.text


async def test_failures_are_tried_again_with_growing_pauses(autojump_clock: trio.testing.MockClock) -> None:
    vault = Vault(Refused("a"), Refused("b"), Refused("c"), "key")
    async with running([vault]) as key:
        assert await key.get() is None
        await trio.sleep(1 + 2 + 4 + 0.1)
        assert await key.get() == ApiKey("key")
        assert vault.calls == 4


async def test_an_answer_that_never_comes_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    vault = Vault(1e6, "key")
    async with running([vault]) as key:
        await trio.sleep(api_key.resolve_limit_s + 1.5)
        assert await key.get() == ApiKey("key")


async def test_the_key_is_asked_for_anew_after_its_interval_and_nobody_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    vault = Vault("old", 2.0, "new")
    async with running([vault], reload_interval_s=100) as key:
        await key.get()
        await trio.sleep(99)
        assert await key.get() == ApiKey("old")
        assert vault.calls == 1
        await trio.sleep(2)
        assert await key.get() == ApiKey("old"), "the old one serves until the new one is there"
        await trio.sleep(3)
        assert await key.get() == ApiKey("new")
        assert vault.calls == 2


async def test_a_reload_that_fails_keeps_the_old_key(autojump_clock: trio.testing.MockClock) -> None:
    async with running([Vault("old", Refused("gone"))], reload_interval_s=10) as key:
        await key.get()
        for _ in range(3):
            await trio.sleep(11)
            assert await key.get() == ApiKey("old")


async def test_a_refused_key_is_renewed_once(autojump_clock: trio.testing.MockClock) -> None:
    vault = Vault("old", "new")
    async with running([vault]) as key:
        old = await key.get()
        assert old is not None
        assert await key.refused(old)
        assert await key.get() == ApiKey("new")
        assert await key.refused(old), "another signal was refused with the key from before"
        new = await key.get()
        assert new is not None
        assert not await key.refused(new)
        assert vault.calls == 2
        await trio.sleep(api_key.shortest_renewal_s)
        assert not await key.refused(new)
        assert vault.calls == 3


async def test_signals_that_are_refused_at_once_all_get_the_new_key(autojump_clock: trio.testing.MockClock) -> None:
    vault = Vault("old", 0.5, "new")
    answers: list[bool] = []
    async with running([vault]) as key:
        old = await key.get()
        assert old is not None

        async def signal() -> None:
            answers.append(await key.refused(old))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(signal)
        assert answers == [True] * 4
        assert vault.calls == 2


async def test_a_refused_key_that_stays_the_same_is_no_other_key(autojump_clock: trio.testing.MockClock) -> None:
    async with running([Vault("same")]) as key:
        same = await key.get()
        assert same is not None
        assert not await key.refused(same)


async def test_a_passing_failure_at_a_reload_does_not_bring_a_weaker_key(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    strong, weak = Vault("good", Refused("status 500"), ValueError("x"), "renewed"), Vault("leftover")
    async with running([strong, weak], reload_interval_s=10) as key:
        await key.get()
        for expected in ("good", "good", "renewed"):
            await trio.sleep(11)
            await key.get()
            await trio.testing.wait_all_tasks_blocked()
            assert await key.get() == ApiKey(expected)
            assert key.state == "from DD_0"
    assert weak.calls == 0
    assert "the key that it gave before is kept" in caplog.text


async def test_a_stronger_source_that_is_back_is_used_at_a_reload(autojump_clock: trio.testing.MockClock) -> None:
    async with running([Vault(Refused("no"), "good"), Vault("leftover")], reload_interval_s=10) as key:
        assert await key.get() == ApiKey("leftover")
        await trio.sleep(11)
        await key.get()
        await trio.testing.wait_all_tasks_blocked()
        assert key.state == "from DD_0"


async def test_a_refused_key_whose_source_fails_makes_room_for_the_next_source(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running([Vault("revoked", Refused("gone")), Vault("spare")]) as key:
        revoked = await key.get()
        assert revoked is not None
        assert await key.refused(revoked)
        assert await key.get() == ApiKey("spare")


async def test_a_refusal_counts_until_the_source_gives_the_key_again(autojump_clock: trio.testing.MockClock) -> None:
    strong, weak = Vault("good", "good", Refused("status 500")), Vault("leftover")
    async with running([strong, weak], reload_interval_s=100) as key:
        good = await key.get()
        assert good is not None
        assert not await key.refused(good), "the source gives the same one again"
        await trio.sleep(101)
        await key.get()
        await trio.testing.wait_all_tasks_blocked()
        assert await key.get() == good
        assert weak.calls == 0
