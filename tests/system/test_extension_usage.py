"""What invocations use of the machine, and the agent's own health, from a living extension."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.extension_world import open_world

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc"),
]

# The network's interface has a name that is found in a real sandbox alone.
of_every_invocation = (
    "cpu_user_time", "cpu_system_time", "cpu_total_time", "cpu_total_utilization_pct", "cpu_total_utilization",
    "num_cores", "cpu_max_utilization", "cpu_min_utilization", "fd_max", "threads_max", "tmp_used", "tmp_max",
    "tmp_free", "fd_use", "threads_use",
)  # fmt: skip


async def test_every_invocation_tells_what_it_used(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for number in range(3):
            # The agent may still be warming up when the first one begins, and the kernel counts in ticks of 10 ms.
            await world.tell(f"i{number}", lines=1, sleep=0.3)
        await world.end()
        for name in of_every_invocation:
            found = world.intake.store.sketches(name=f"aws.lambda.enhanced.{name}")
            assert sum(each.sketch.cnt for each in found if each.sketch) == 3, name
        world.assert_everything_arrived_once()


async def test_usage_can_be_switched_off(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings={"DD_LAMBDA_PROC_ENHANCED_METRICS": "false"}) as world:
        await world.tell("i0", lines=1)
        await world.end()
        store = world.intake.store
        assert not [name for name in of_every_invocation if store.sketches(name=f"aws.lambda.enhanced.{name}")]
        assert store.sketches(name="aws.lambda.enhanced.duration")


async def test_health_is_told_when_asked_for(tmp_path: Path) -> None:
    settings = {"DDX_HEALTH_METRICS": "true", "DDX_SERIES_FORMAT": "json"}
    async with open_world(tmp_path, settings=settings) as world:
        await world.tell("i0", lines=5, metrics=3, spans=2)
        await world.tell("i1", lines=1)
        await world.end()
        store = world.intake.store
        for signal, least in (("logs", 5), ("metrics", 3), ("traces", 2)):
            found = store.sketches(name="ddx.items.accepted", tag=f"signal:{signal}")
            assert sum(each.sketch.sum for each in found if each.sketch) >= least, signal
        world.assert_everything_arrived_once()
