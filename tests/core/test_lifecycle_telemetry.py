"""The listener that takes telemetry batches: fast answers, events in order, nothing bad able to stop it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from ddx_core.events import LogLine, TelemetryEvent
from ddx_core.http import open_tcp_listener, serve_http
from ddx_core.lifecycle import TelemetryReceiver
from ddx_core.lifecycle.telemetry import max_batch_bytes
from tests.support.plain_http import no_authorities


def line(text: str, kind: str = "function") -> dict[str, Any]:
    return {"time": "2022-10-12T00:00:15.064Z", "type": kind, "record": text}


def batch(*events: Any) -> bytes:
    return json.dumps(events).encode()


class Sink:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: TelemetryEvent) -> None:
        assert isinstance(event, LogLine)
        if event.text == "poison":
            raise ValueError("a defect")
        self.texts.append(event.text or "")


def test_events_reach_the_sink_in_order() -> None:
    sink = Sink()
    receiver = TelemetryReceiver(sink)
    receiver.take(batch(line("a"), line("b")))
    receiver.take(batch(line("c")))
    assert sink.texts == ["a", "b", "c"]
    assert (receiver.batches, receiver.events) == (2, 3)


def test_a_repeated_batch_is_taken_once() -> None:
    """Lambda sends a batch again when the answer to it was lost."""
    sink = Sink()
    receiver = TelemetryReceiver(sink)
    for _ in range(3):
        receiver.take(batch(line("a")))
        receiver.take(batch(line("b")))
    assert sink.texts == ["a", "b"]
    assert receiver.skipped == {"repeated_batch": 4}


def test_only_recent_batches_count_as_repeats() -> None:
    sink = Sink()
    receiver = TelemetryReceiver(sink)
    for number in [*range(40), 0]:
        receiver.take(batch(line(str(number))))
    assert sink.texts[-1] == "0"
    assert len(sink.texts) == 41


def test_bad_events_and_bad_batches_are_counted() -> None:
    sink = Sink()
    receiver = TelemetryReceiver(sink)
    receiver.take(b"no json")
    receiver.take(batch(line("a"), line("x", "platform.new"), line("x", "platform.start")))
    assert sink.texts == ["a"]
    assert receiver.skipped == {
        "malformed_batch": 1,
        "unknown:platform.new": 1,
        "malformed:platform.start": 1,
    }


def test_a_sink_that_fails_loses_one_event(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    receiver = TelemetryReceiver(sink)
    receiver.take(batch(line("a"), line("poison"), line("b")))
    assert sink.texts == ["a", "b"]
    assert receiver.skipped == {"failed": 1}
    assert "telemetry_event_failed kind=LogLine" in caplog.text


def test_reasons_are_bounded_whatever_types_are_sent() -> None:
    receiver = TelemetryReceiver(Sink())
    for number in range(500):
        receiver.take(batch(line("x", f"made-up-{number}")))
    assert len(receiver.skipped) <= 101
    assert sum(receiver.skipped.values()) == 500


async def test_it_serves_post_on_the_root_and_nothing_else(nursery: trio.Nursery) -> None:
    sink = Sink()
    receiver = TelemetryReceiver(sink)
    listener = await open_tcp_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    await nursery.start(serve_http, [listener], receiver.routes())
    async with httpx.AsyncClient(trust_env=False, verify=no_authorities()) as client:
        answers = [
            await client.post(url, content=batch(line("a"))),
            await client.post(url, content=b"garbage"),
            await client.get(url),
            await client.post(url + "/other", content=b"[]"),
            await client.post(url, content=batch(line("b"))),
            await client.post(url, content=b" " * (max_batch_bytes + 1)),
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 405, 404, 200, 200]
    assert answers[0].text == "OK"
    assert receiver.skipped == {"malformed_batch": 1, "oversized_batch": 1}
    assert sink.texts == ["a", "b"]
