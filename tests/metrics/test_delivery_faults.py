"""Trouble at the intake, of series and of sketches apart: each loses at most what is refused, and nothing unsaid."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from ddx_core.http import Hangup, Request, Response
from ddx_core.intake import ClientSettings, IntakeClient, Payload, RetryPolicy
from ddx_core.pipeline import FlushKind
from tests.support.cancel import cancel_at_every_step
from tests.support.intake import ScriptedIntake, Step, hang, with_retry_after

from .support import Rig, metrics_in

series, sketches = "/api/v2/series", "/api/beta/sketches"


class Faults:
    """An intake with a script for each path, and a pipeline that delivers to it through real connections."""

    def __init__(self, intake: ScriptedIntake, client: IntakeClient, scripts: dict[str, list[Step]]) -> None:
        self.rig = Rig(client=client, base_url=intake.url)
        self._scripts = scripts
        self._taken: list[Request] = []
        self.intake = intake

    def answer(self, request: Request) -> Any:
        script = self._scripts.get(request.path)
        step = script.pop(0) if script else 202
        if step == 202:
            self._taken.append(request)
        return step

    def taken(self, path: str) -> list[str]:
        """The names of the metrics that this path accepted, one for each time."""
        requests = [request for request in self._taken if request.path == path]
        return [
            metric.name
            for request in requests
            for metric in metrics_in(
                [
                    Payload(
                        path=path,
                        content_type=request.headers["content-type"],
                        encoding=request.headers.get("content-encoding"),
                        body=request.body,
                        items=0,
                    )
                ]
            )
        ]

    def clear(self) -> None:
        self._scripts.clear()


@asynccontextmanager
async def faults(script: dict[str, list[Step]], *, attempts: int = 4) -> AsyncGenerator[Faults]:
    async with trio.open_nursery() as nursery:
        intake = ScriptedIntake(otherwise=lambda request: world.answer(request))
        await intake.start(nursery)
        policy = RetryPolicy(base_s=0.001, max_attempts=attempts)
        async with IntakeClient(ClientSettings(attempt_s=5), policy=policy) as client:
            world = Faults(intake, client, script)
            with trio.fail_after(20):
                yield world
        nursery.cancel_scope.cancel()


def taken_and_lost(sent: bytes) -> Hangup:
    """The payload has been read, and the answer does not come whole."""
    return Hangup(sent, reset=not sent)


passing: dict[str, Callable[[], Step]] = {
    "503": lambda: 503,
    "500": lambda: 500,
    "429": lambda: 429,
    "429 with Retry-After": lambda: with_retry_after(429, "0"),
    "408": lambda: 408,
    "reset": lambda: taken_and_lost(b""),
    "truncated": lambda: taken_and_lost(b"HTTP/1.1 202 Acc"),
    "not HTTP": lambda: taken_and_lost(b"Hello\r\n\r\n"),
}


def fill(rig: Rig) -> None:
    rig.take("count:1:2|c\ngauge:3|g", "latency:1:2:3|d")


@pytest.mark.parametrize("path", [series, sketches])
@pytest.mark.parametrize("fault", passing)
async def test_passing_trouble_costs_nothing(fault: str, path: str) -> None:
    async with faults({path: [passing[fault]()]}) as world:
        fill(world.rig)
        await world.rig.pipeline.flush(FlushKind.BLOCKING)
        world.rig.check()
        assert sorted(world.taken(series)) == ["count", "gauge"]
        assert world.taken(sketches) == ["latency"]
        snapshot = world.rig.account.snapshot()
        assert (snapshot.delivered.items, snapshot.held.items, snapshot.dropped) == (6, 0, {})
        may_be_twice = fault in ("reset", "truncated", "not HTTP")
        assert snapshot.maybe_twice.items == (0 if not may_be_twice else 3)


@pytest.mark.parametrize("path", [series, sketches])
async def test_a_slow_answer_is_waited_for_and_holds_the_other_kind_up_for_nothing(path: str) -> None:
    other = sketches if path == series else series
    other_has_come = trio.Event()

    async def slowly(request: Request) -> Step:
        await other_has_come.wait()
        return 202

    def at_once(request: Request) -> Step:
        other_has_come.set()
        return 202

    async with faults({path: [slowly], other: [at_once]}) as world:
        fill(world.rig)
        await world.rig.pipeline.flush(FlushKind.BLOCKING)
        assert world.rig.account.snapshot().delivered.items == 6
        world.rig.check()


@pytest.mark.parametrize("path", [series, sketches])
@pytest.mark.parametrize("status", [400, 403, 404])
async def test_what_is_refused_for_good_costs_itself_alone(status: int, path: str) -> None:
    async with faults({path: [status]}) as world:
        for _ in range(2):
            fill(world.rig)
            await world.rig.pipeline.flush(FlushKind.BLOCKING)
            world.rig.check()
        assert len(world.taken(series)) == (2 if path == series else 4)
        assert len(world.taken(sketches)) == (2 if path == series else 1)
        assert world.rig.dropped == {f"refused_{status}": 3}
        assert world.rig.account.snapshot().delivered.items == 9


async def test_what_is_too_large_goes_again_in_halves() -> None:
    async with faults({series: [413, 202, 413], sketches: [413]}) as world:
        fill(world.rig)
        await world.rig.pipeline.flush(FlushKind.BLOCKING)
        world.rig.check()
        assert len(world.taken(series)) == 1
        assert world.taken(sketches) == []
        # Half of the samples of two series, and the one sketch, which cannot be made smaller.
        assert world.rig.account.dropped("refused_413").items + world.rig.account.snapshot().delivered.items == 6


@pytest.mark.parametrize("path", [series, sketches])
@pytest.mark.parametrize("step", [503, hang])
async def test_an_outage_of_one_kind_keeps_it_until_it_is_over(path: str, step: Step) -> None:
    other = sketches if path == series else series
    async with faults({path: [step] * 100}, attempts=2) as world:
        for _ in range(2):
            fill(world.rig)
            with trio.move_on_after(0.25):
                await world.rig.pipeline.flush(FlushKind.BLOCKING)
            world.rig.check()
            world.rig.clock.advance(10)
        assert world.taken(path) == []
        assert world.rig.account.snapshot().delivered.items == 3 * (
            len(world.taken(other)) // (2 if other == series else 1)
        )
        world.clear()
        await world.rig.pipeline.flush(FlushKind.FINAL)
        world.rig.check()
        assert world.rig.account.snapshot().delivered.items == 12
        assert len(world.taken(series)) == 4
        assert len(world.taken(sketches)) == 2


async def test_an_intake_that_asks_for_a_long_pause_is_left_alone_until_the_last_flush() -> None:
    async with faults({series: [with_retry_after(429, "60")]}) as world:
        fill(world.rig)
        await world.rig.pipeline.flush(FlushKind.BLOCKING)
        requests = len(world.intake.requests)
        await world.rig.pipeline.flush(FlushKind.BLOCKING)
        assert len(world.intake.requests) == requests
        await world.rig.pipeline.flush(FlushKind.FINAL)
        assert world.rig.account.snapshot().delivered.items == 6
        world.rig.check()


@pytest.mark.parametrize("path", [series, sketches])
@pytest.mark.parametrize("status", [503, 413])
async def test_a_flush_cancelled_at_any_step_of_trouble_loses_nothing_unsaid(path: str, status: int) -> None:
    async with faults({}) as outer:
        rig, answers = Rig(), dict[str, list[int]]()

        def answer(request: Request) -> Response | int:
            return answers[request.path].pop(0) if answers.get(request.path) else 202

        outer.answer = answer  # type: ignore[method-assign]

        async def operation() -> None:
            nonlocal rig
            rig = Rig(client=outer.rig.fanout.primary._client, base_url=outer.intake.url)  # pyright: ignore[reportPrivateUsage]
            answers[path] = [status]
            fill(rig)
            await rig.pipeline.flush(FlushKind.BLOCKING)

        async def check(completed: bool) -> None:
            rig.check()
            if completed:
                assert rig.held == 0
            await rig.pipeline.flush(FlushKind.FINAL)
            rig.check()
            snapshot = rig.account.snapshot()
            refused = rig.account.dropped("refused_413").items
            assert refused in ((0, 3) if status == 413 and path == sketches else (0,))
            assert snapshot.delivered.items + refused == snapshot.accepted.items == 6
            assert snapshot.held.items == 0

        assert await cancel_at_every_step(operation, check) > 3
