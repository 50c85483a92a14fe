"""flush_all: all signals at once, one deadline, no signal in another's way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
from trio.testing import MockClock

from ddx_core.flush import flush_all
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from tests.support.cancel import cancel_at_every_step


class Signal:
    def __init__(self, name: str, flush: Callable[[], Awaitable[object]]) -> None:
        self.name = name
        self._flush = flush
        self.kinds: list[FlushKind] = []
        self.done = False

    @property
    def accounts(self) -> Sequence[Account]:
        return ()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        raise NotImplementedError

    async def flush(self, kind: FlushKind) -> None:
        self.kinds.append(kind)
        await self._flush()
        self.done = True


async def one_second() -> None:
    await trio.sleep(1)


async def fail() -> None:
    await trio.lowlevel.checkpoint()
    raise ValueError("a defect")


async def fail_at_the_deadline() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while being cancelled")


async def test_all_signals_flush_side_by_side(autojump_clock: MockClock) -> None:
    signals = [Signal(name, one_second) for name in ("logs", "metrics", "traces")]
    result = await flush_all(signals, FlushKind.BLOCKING, seconds=2)
    assert result.seconds == pytest.approx(1)  # pyright: ignore[reportUnknownMemberType]
    assert result.in_time
    assert not result.failed
    assert all(signal.done and signal.kinds == [FlushKind.BLOCKING] for signal in signals)


async def test_a_hanging_signal_costs_the_deadline_and_nobody_else(autojump_clock: MockClock) -> None:
    hanging, fine = Signal("hanging", trio.sleep_forever), Signal("fine", one_second)
    result = await flush_all([hanging, fine], FlushKind.FINAL, seconds=3)
    assert (result.in_time, hanging.done, fine.done) == (False, False, True)
    assert trio.current_time() == pytest.approx(3)  # pyright: ignore[reportUnknownMemberType]


async def test_a_failing_signal_does_not_stop_the_others(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = Signal("broken", fail), Signal("fine", one_second)
    result = await flush_all([broken, fine], FlushKind.BLOCKING, seconds=2)
    assert result.failed == ("broken",)
    assert result.in_time
    assert fine.done
    assert "flush_failed about=broken" in caplog.text


async def test_a_failure_in_one_group_with_the_deadline_stays_inside(autojump_clock: MockClock) -> None:
    result = await flush_all([Signal("broken", fail_at_the_deadline)], FlushKind.BLOCKING, seconds=1)
    assert result.failed == ("broken",)
    assert not result.in_time


@pytest.mark.parametrize("seconds", [0.0, -1.5])
async def test_no_time_left_is_no_error(seconds: float) -> None:
    signal = Signal("logs", trio.sleep_forever)
    result = await flush_all([signal], FlushKind.FINAL, seconds=seconds)
    assert not result.in_time


async def test_the_caller_cannot_cancel_it_before_its_deadline(autojump_clock: MockClock) -> None:
    signal = Signal("logs", one_second)
    with trio.CancelScope() as scope:
        scope.cancel()
        result = await flush_all([signal], FlushKind.FINAL, seconds=2)
        assert result.in_time
        assert signal.done


async def test_cancelled_at_any_step_it_still_flushes() -> None:
    signal = Signal("logs", trio.lowlevel.checkpoint)

    async def operation() -> None:
        nonlocal signal
        signal = Signal("logs", trio.lowlevel.checkpoint)
        await flush_all([signal], FlushKind.FINAL, seconds=1)

    def check(completed: bool) -> None:
        assert signal.done

    await cancel_at_every_step(operation, check)


async def test_nothing_to_flush_takes_no_time() -> None:
    result = await flush_all([], FlushKind.BACKGROUND, seconds=1)
    assert result.in_time
