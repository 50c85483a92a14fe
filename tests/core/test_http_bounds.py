"""What the connections of one server share."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ddx_core.http.bounds import Places, crowded_idle_s


async def test_places_stay_crowded_until_the_last_of_those_who_wait_has_one(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    places = Places(1)
    holder = object()
    await places.take(holder)
    for _ in range(2):
        nursery.start_soon(places.take, object())
    await wait_all_tasks_blocked()
    places.release(holder)
    await wait_all_tasks_blocked()
    began = trio.current_time()
    with places.idle(1000):
        await trio.sleep_forever()
    assert trio.current_time() - began == crowded_idle_s
    nursery.cancel_scope.cancel()
