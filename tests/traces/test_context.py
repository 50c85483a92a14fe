"""Root, sampling priority and service entries."""

from __future__ import annotations

import math

import pytest

from ddx_traces.process.context import adopt_top_level, find_priority, find_root, mark_top_level
from ddx_traces.span import Span, priority_unset

from .support import span


def marked(spans: list[Span]) -> list[int]:
    return [each.span_id for each in spans if each.metrics.get("_top_level") == 1]


@pytest.mark.parametrize(
    ("parents", "root"),
    [
        ({1: 0, 2: 1, 3: 1}, 1),
        ({2: 1, 3: 1, 1: 0}, 1),
        ({1: 0, 2: 0, 3: 1}, 2),
        ({2: 1, 3: 2, 4: 3}, 2),
        ({2: 9, 3: 8, 4: 3}, 3),
        ({2: 3, 3: 2}, 3),
        ({7: 7}, 7),
    ],
)
def test_root_is_the_last_without_a_parent_then_the_last_with_a_foreign_one(parents: dict[int, int], root: int) -> None:
    spans = [span(span_id=own, parent_id=parent) for own, parent in parents.items()]
    assert find_root(spans).span_id == root


def test_priority_is_the_roots_before_any_other() -> None:
    child = span(span_id=3, parent_id=2, metrics={"_sampling_priority_v1": -1})
    root = span(metrics={"_sampling_priority_v1": 2.9})
    assert find_priority([child, root], root) == 2


def test_priority_is_the_first_that_any_span_has() -> None:
    root = span()
    others = [span(span_id=3), span(span_id=4, metrics={"_sampling_priority_v1": 0}), span(span_id=5)]
    assert find_priority([root, *others], root) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_priority_that_is_no_number_of_its_field_is_none(value: float) -> None:
    root = span(metrics={"_sampling_priority_v1": value})
    assert find_priority([root], root) == priority_unset


def test_no_priority_anywhere_is_unset() -> None:
    root = span()
    assert find_priority([root, span(span_id=3)], root) == priority_unset == -128


def test_service_entries_are_those_without_a_parent_here_or_with_one_of_another_service() -> None:
    spans = [
        span(span_id=1, parent_id=0, service="web"),
        span(span_id=2, parent_id=1, service="web"),
        span(span_id=3, parent_id=1, service="db"),
        span(span_id=4, parent_id=3, service="db"),
        span(span_id=5, parent_id=99, service="web"),
    ]
    mark_top_level(spans)
    assert marked(spans) == [1, 3, 5]


def test_service_entries_that_the_tracer_found_are_taken_over_whatever_their_value() -> None:
    spans = [
        span(span_id=1, parent_id=0),
        span(span_id=2, parent_id=9, metrics={"_dd.top_level": 1}),
        span(span_id=3, parent_id=9, metrics={"_dd.top_level": 0}),
    ]
    adopt_top_level(spans)
    assert marked(spans) == [2, 3]
