"""Delivery of telemetry to real listeners: replay, batches, retries, drops, freeze, and the scripted faults."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ddx_agent.local.faults import Faults
from ddx_agent.local.refusal import Refusal
from ddx_agent.local.telemetry import delivery
from ddx_agent.local.telemetry.events import log_event
from ddx_agent.local.telemetry.hub import TelemetryHub
from ddx_agent.local.telemetry.subscription import Buffering, Destination, Subscription
from ddx_core.http import Request, Response, Route, Routes, open_tcp_listener, serve_http


class Listener:
    """A subscriber's listener that answers as told, and then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []
        self.arrival = trio.lowlevel.ParkingLot()
        self.port = 0

    async def take(self, request: Request) -> Response:
        self.bodies.append(request.body)
        self.arrival.unpark_all()
        return Response(status=self.statuses.pop(0) if self.statuses else 200)

    def texts(self) -> list[Any]:
        """The records of all events of requests that are JSON arrays."""
        return [event["record"] for body in self.bodies for event in msgspec.json.decode(body)]

    async def wait_for(self, requests: int) -> None:
        with trio.fail_after(5):
            while len(self.bodies) < requests:
                await self.arrival.park()


@asynccontextmanager
async def delivering(listener: Listener, faults: Faults | None = None) -> AsyncGenerator[TelemetryHub]:
    hub = TelemetryHub(faults or Faults(), wall=lambda: 0.0)
    socket = await open_tcp_listener("127.0.0.1", 0)
    listener.port = socket.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_http, [socket], Routes([Route(("POST",), "/in", listener.take)]))
        nursery.start_soon(hub.serve)
        yield hub
        nursery.cancel_scope.cancel()


def subscription(listener: Listener, *types: str, timeout_ms: int = 25) -> Subscription:
    return Subscription(
        schema="2022-12-13",
        types=types or ("function", "platform"),
        destination=Destination(listener.port, "/in"),
        buffering=Buffering(1000, 262144, timeout_ms),
    )


def say(hub: TelemetryHub, text: str) -> None:
    hub.emit(log_event(0.0, "function", text, json_format=False))


async def test_what_came_before_the_subscription_is_replayed_to_it() -> None:
    listener = Listener()
    async with delivering(listener) as hub:
        say(hub, "early")
        assert hub.subscribe("id", "ext", subscription(listener)) is None
        say(hub, "later")
        await listener.wait_for(1)
    assert listener.texts() == [
        "early",
        {"name": "ext", "state": "Subscribed", "types": ["function", "platform"]},
        "later",
    ]


async def test_subscriber_gets_only_its_types() -> None:
    listener = Listener()
    async with delivering(listener) as hub:
        hub.subscribe("id", "ext", subscription(listener, "function"))
        hub.emit_platform("start", {"requestId": "r"})
        say(hub, "line")
        await hub.flush()
    assert listener.texts() == ["line"]


async def test_flush_sends_at_once_what_is_not_due_yet() -> None:
    listener = Listener()
    async with delivering(listener) as hub:
        hub.subscribe("id", "ext", subscription(listener, "function", timeout_ms=30_000))
        say(hub, "line")
        with trio.fail_after(5):
            await hub.flush()
    assert listener.texts() == ["line"]


async def test_refused_batch_is_sent_again_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "backoff_s", (0.0, 0.0))
    listener = Listener(500, 503)
    async with delivering(listener) as hub:
        hub.subscribe("id", "ext", subscription(listener, "function"))
        say(hub, "line")
        await listener.wait_for(3)
    assert listener.texts() == ["line"] * 3


async def test_batch_that_nobody_takes_is_dropped_and_the_next_one_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "backoff_s", (0.0,))
    listener = Listener(500, 500)
    async with delivering(listener) as hub:
        hub.subscribe("id", "ext", subscription(listener))
        await listener.wait_for(2)
        say(hub, "after")
        await listener.wait_for(3)
    dropped, after = msgspec.json.decode(listener.bodies[-1])
    assert dropped["type"] == "platform.logsDropped"
    assert dropped["record"]["droppedRecords"] == 1
    assert dropped["record"]["reason"] == "could not send events: the listener answered 500"
    assert after["record"] == "after"


async def test_nothing_is_delivered_while_the_sandbox_is_frozen() -> None:
    listener = Listener()
    async with delivering(listener) as hub:
        hub.subscribe("id", "ext", subscription(listener, "function"))
        hub.freeze()
        say(hub, "line")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert listener.bodies == []
        hub.thaw()
        await listener.wait_for(1)
    assert listener.texts() == ["line"]


async def test_subscriber_whose_process_has_ended_is_given_up_at_once() -> None:
    listener = Listener()
    async with delivering(listener) as hub:
        hub.subscribe("id", "ext", subscription(listener, timeout_ms=30_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.flush)
            hub.unsubscribe("id")
        assert hub.subscribers == {}


async def test_second_subscription_and_late_one_are_refused() -> None:
    listener = Listener()
    async with delivering(listener) as hub:
        assert hub.subscribe("id", "ext", subscription(listener)) is None
        again = hub.subscribe("id", "ext", subscription(listener))
        hub.close_subscription()
        late = hub.subscribe("other", "ext", subscription(listener))
    assert isinstance(again, Refusal)
    assert isinstance(late, Refusal)
    assert (again.status, late.error_type) == (500, "Telemetry.SubscriptionClosed")


async def test_duplicates_and_splits_are_made_on_demand() -> None:
    listener = Listener()
    async with delivering(listener, Faults(duplicate_batches=1, split_batches=1)) as hub:
        hub.subscribe("id", "ext", subscription(listener, "function"))
        say(hub, "a")
        say(hub, "b")
        await listener.wait_for(4)
    assert [msgspec.json.decode(body)[0]["record"] for body in listener.bodies] == ["a", "a", "b", "b"]
    assert all(len(msgspec.json.decode(body)) == 1 for body in listener.bodies)


async def test_nonsense_is_put_in_on_demand() -> None:
    listener = Listener()
    async with delivering(listener, Faults(inject_events=(b'{"type":"platform.new"}', b"7"), garbage_batches=1)) as hub:
        hub.subscribe("id", "ext", subscription(listener, "function"))
        say(hub, "a")
        await listener.wait_for(2)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(listener.bodies[0])
    first, second, last = msgspec.json.decode(listener.bodies[1])
    assert (first, second, last["record"]) == ({"type": "platform.new"}, 7, "a")


async def test_held_types_come_after_the_next_invoke() -> None:
    listener = Listener()
    async with delivering(listener, Faults(hold_past_next_invoke=("platform.runtimeDone",))) as hub:
        hub.subscribe("id", "ext", subscription(listener))
        hub.emit_platform("runtimeDone", {"requestId": "r1"})
        hub.emit_platform("start", {"requestId": "r2"})
        await listener.wait_for(1)
        hub.release_held()
        await listener.wait_for(2)
    types = [event["type"] for body in listener.bodies for event in msgspec.json.decode(body)]
    assert types == ["platform.telemetrySubscription", "platform.start", "platform.runtimeDone"]


async def test_tcp_subscriber_gets_a_line_for_each_event() -> None:
    received: list[bytes] = []
    whole = trio.Event()

    async def take(stream: trio.SocketStream) -> None:
        async for data in stream:
            received.append(bytes(data))
            if b"".join(received).count(b"\n") == 2:
                whole.set()

    hub = TelemetryHub(Faults(), wall=lambda: 0.0)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, take, [listener])
        nursery.start_soon(hub.serve)
        hub.subscribe(
            "id",
            "ext",
            Subscription(
                schema="2022-07-01",
                types=("function",),
                destination=Destination(port, None),
                buffering=Buffering(1000, 262144, 25),
            ),
        )
        say(hub, "a")
        say(hub, "b")
        with trio.fail_after(5):
            await whole.wait()
        nursery.cancel_scope.cancel()
    lines = b"".join(received).splitlines()
    assert [msgspec.json.decode(line)["record"] for line in lines] == ["a", "b"]
