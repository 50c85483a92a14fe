"""When a batch of telemetry is due, and what is in it."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.local.telemetry.buffer import Dropped, TelemetryBuffer
from ddx_agent.local.telemetry.subscription import Buffering


def test_nothing_is_never_due() -> None:
    assert TelemetryBuffer(Buffering()).due_at == math.inf


def test_batch_is_due_a_timeout_after_its_first_event() -> None:
    buffer = TelemetryBuffer(Buffering(1000, 262144, 25))
    buffer.add(b"1", 10.0)
    buffer.add(b"2", 10.02)
    assert buffer.due_at == 10.025
    assert buffer.take(10.025) == [b"1", b"2"]
    assert buffer.due_at == math.inf


def test_batch_is_due_at_once_when_it_has_its_items_or_bytes() -> None:
    buffer = TelemetryBuffer(Buffering(2, 10, 1000))
    buffer.add(b"1", 0.0)
    buffer.add(b"2", 0.0)
    assert buffer.due_at == -math.inf
    buffer = TelemetryBuffer(Buffering(100, 10, 1000))
    buffer.add(b"0123456789", 0.0)
    assert buffer.due_at == -math.inf


def test_event_larger_than_a_batch_travels_alone() -> None:
    buffer = TelemetryBuffer(Buffering(100, 4, 1000))
    for event in (b"123456", b"1"):
        buffer.add(event, 0.0)
    assert buffer.take(0.0) == [b"123456"]
    assert buffer.take(0.0) == [b"1"]


def test_what_is_too_much_is_dropped_and_counted_once() -> None:
    buffer = TelemetryBuffer(Buffering(), max_pending_bytes=5)
    for event in (b"12345", b"67", b"8"):
        buffer.add(event, 0.0)
    assert buffer.take_dropped() == Dropped(2, 3)
    assert buffer.take_dropped() is None
    assert buffer.take(0.0) == [b"12345"]


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=60), st.integers(1, 7), st.integers(1, 20))
def test_batches_keep_every_event_in_order_within_the_limits(events: list[bytes], items: int, size: int) -> None:
    buffer = TelemetryBuffer(Buffering(items, size, 25))
    for event in events:
        buffer.add(event, 0.0)
    batches: list[list[bytes]] = []
    while len(buffer):
        batches.append(buffer.take(1.0))
    assert [event for batch in batches for event in batch] == events
    assert all(len(batch) <= items and (len(batch) == 1 or sum(map(len, batch)) <= size) for batch in batches)
