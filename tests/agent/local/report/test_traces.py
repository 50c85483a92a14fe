"""Spans as trees, whatever they say of their parents."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.local.intake import Span, TracePayload
from ddx_agent.local.report.traces import build_traces


def make_span(span_id: int, parent_id: int, *, trace_id: int = 7, start_ns: int = 0, **changes: Any) -> Span:
    facts: dict[str, Any] = {
        "request": 1,
        "payload": TracePayload(),
        "chunk": 0,
        "priority": 1,
        "origin": "lambda",
        "chunk_tags": {},
        "dropped_trace": False,
        "trace_id": trace_id,
        "trace_id_high": 0,
        "span_id": span_id,
        "parent_id": parent_id,
        "name": f"span{span_id}",
        "service": "orders",
        "resource": f"span{span_id}",
        "type": "",
        "start_ns": start_ns,
        "duration_ns": 2_000_000,
        "error": 0,
        "meta": {},
        "metrics": {},
        "meta_struct": {},
        "links": (),
        "events": (),
    }
    return Span(**(facts | changes))


def test_spans_become_a_tree_in_the_order_of_time() -> None:
    (trace,) = build_traces([make_span(3, 1, start_ns=9), make_span(2, 1, start_ns=5), make_span(1, 99)])
    (root,) = trace.roots
    assert (trace.trace_id, trace.spans, root.name) == ("0000000000000007", 3, "span1")
    assert [child.name for child in root.children] == ["span2", "span3"]


def test_upper_half_of_a_trace_id_is_shown_when_any_span_knows_it() -> None:
    (trace,) = build_traces([make_span(1, 0), make_span(2, 1, trace_id_high=0xAB)])
    assert trace.trace_id == "00000000000000ab0000000000000007"


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=12))
def test_every_span_is_shown_once_whatever_parents_say(edges: list[tuple[int, int]]) -> None:
    traces = build_traces([make_span(span_id, parent_id) for span_id, parent_id in edges])
    shown: list[str] = []

    def visit(nodes: Any) -> None:
        for node in nodes:
            shown.append(node.span_id)
            visit(node.children)

    for trace in traces:
        visit(trace.roots)
    assert sorted(shown) == sorted({f"{span_id:016x}" for span_id, _ in edges})


def test_error_of_a_span_names_type_and_message() -> None:
    span = make_span(1, 0, error=1, meta={"error.type": "ValueError", "error.message": "bad"})
    assert build_traces([span])[0].roots[0].error == "ValueError: bad"
