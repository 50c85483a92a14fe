"""Spans that come twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ddx_traces.process import SeenSpans

from .support import span


def test_span_sent_again_is_no_new_one() -> None:
    seen = SeenSpans()
    first, second = span(span_id=2), span(span_id=3)
    assert seen.admit([first, second]).spans == [first, second]
    admitted = seen.admit([span(span_id=2), span(span_id=4), span(span_id=3)])
    assert [each.span_id for each in admitted.spans] == [4]
    assert admitted.duplicates == 2


def test_ids_count_together() -> None:
    seen = SeenSpans()
    assert (
        len(seen.admit([span(trace_id=1, span_id=2), span(trace_id=2, span_id=1), span(trace_id=1, span_id=1)]).spans)
        == 3
    )


def test_span_without_an_id_is_malformed_every_time() -> None:
    seen = SeenSpans()
    for _ in range(2):
        admitted = seen.admit([span(trace_id=0), span(span_id=0), span(trace_id=0, span_id=0)])
        assert (admitted.spans, admitted.malformed, admitted.duplicates) == ([], 3, 0)


@given(st.lists(st.integers(1, 60), max_size=300), st.integers(1, 20))
def test_the_last_spans_up_to_the_capacity_are_always_remembered(ids: list[int], capacity: int) -> None:
    seen = SeenSpans(capacity)
    new: list[int] = []
    for each in ids:
        is_new = bool(seen.admit([span(span_id=each)]).spans)
        if each in new[-capacity:]:
            assert not is_new
        if each not in new[-2 * capacity :]:
            assert is_new
        if is_new:
            new.append(each)
