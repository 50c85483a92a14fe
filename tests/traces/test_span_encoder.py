"""What spans have in common is encoded once, and nothing of one span gets into another."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_traces import span_encoder as module
from ddx_traces.span import Span
from ddx_traces.span_encoder import SpanEncoder

from .protobuf_reader import read_message
from .support import span


def check(encoder: SpanEncoder, one: Span) -> None:
    read = read_message("Span", encoder.encode(one))
    assert (read["service"], read["name"], read["resource"], read["type"]) == (
        one.service, one.name, one.resource, one.type,
    )  # fmt: skip
    assert (read["traceID"], read["spanID"], read["parentID"], read["start"], read["duration"], read["error"]) == (
        one.trace_id, one.span_id, one.parent_id, one.start, one.duration, one.error,
    )  # fmt: skip
    assert (read["meta"], read["metrics"]) == (one.meta, one.metrics)


def test_ids_do_not_stay_from_one_span_to_the_next() -> None:
    encoder = SpanEncoder()
    check(encoder, span(trace_id=5, span_id=6, parent_id=7, error=1, metrics={"a": 1.0}))
    check(encoder, span(trace_id=1, span_id=2, start=0, duration=0))
    check(encoder, span(trace_id=1, span_id=2, error=-3))


def test_the_same_texts_under_other_keys_are_not_mixed_up() -> None:
    encoder = SpanEncoder()
    for meta in ({"a": "1", "b": "2"}, {"b": "1", "a": "2"}, {"a": "2", "b": "1"}, {}, {"a": "1"}, {"": ""}):
        check(encoder, span(meta=dict(meta)))


def test_texts_that_hardly_repeat_are_found_out() -> None:
    encoder = SpanEncoder()
    for number in range(2000):
        check(
            encoder,
            span(resource=f"r{number}", meta={"kind": "x", "url": f"https://h/{number}", "host": str(number % 3)}),
        )
    (shape,) = encoder._shapes.values()  # pyright: ignore[reportPrivateUsage]
    # Resource and URL; what has few values is still encoded together.
    assert sorted(place for place, _ in shape.varying) == [2, 5]
    assert len(shape.blobs) == 3


def test_a_shape_that_is_nothing_but_ids_still_works() -> None:
    encoder = SpanEncoder()
    for number in range(3000):
        check(encoder, span(service=f"a{number}", name=f"b{number}", resource=f"c{number}", type=f"d{number}"))


def test_new_texts_now_and_then_do_not_count_as_varying() -> None:
    encoder = SpanEncoder()
    for number in range(300):
        for _ in range(30):
            encoder.encode(span(resource=f"r{number}", meta={"a": "b"}))
    (shape,) = encoder._shapes.values()  # pyright: ignore[reportPrivateUsage]
    assert shape.varying == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "max_remembered_bytes", 100_000)
    encoder = SpanEncoder()
    chance = random.Random(1)
    for number in range(3000):
        meta = {f"k{number}{index}": "v" * chance.randrange(300) for index in range(chance.randrange(5))}
        check(encoder, span(resource=str(number), meta=meta, metrics={f"m{number}": 1.0}))
        assert encoder._bytes <= 100_000  # pyright: ignore[reportPrivateUsage]
        assert len(encoder._shapes) < 200  # pyright: ignore[reportPrivateUsage]


few = st.sampled_from(["", "a", "é", "x" * 130])
spans = st.builds(
    span, service=few, name=few, resource=few, type=few, error=st.integers(-1, 2),
    meta=st.dictionaries(few, few, max_size=3),
    metrics=st.dictionaries(few, st.sampled_from([0.0, -0.0, 1.0, float("inf")]), max_size=2),
    span_id=st.integers(0, 2**64 - 1), start=st.integers(-(2**63), 2**63 - 1),
)  # fmt: skip


@settings(max_examples=40)
@given(st.lists(spans, max_size=25), st.integers(1, 4))
def test_any_sequence_of_spans_is_read_back_as_it_was(sequence: list[Any], combinations: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "max_combinations", combinations)
        encoder = SpanEncoder()
        for one in sequence:
            check(encoder, one)
