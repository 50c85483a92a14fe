"""What `ddx local` prints, for people and for programs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.local import report_text
from ddx_agent.local.function import Sample
from ddx_agent.local.intake import Span, TracePayload
from ddx_agent.local.invocation import InvokeResult
from ddx_agent.local.report import Played, build_traces, played


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


def make_result(**changes: Any) -> InvokeResult:
    facts: dict[str, Any] = {
        "request_id": "r1",
        "payload": b'{"ok":true}',
        "function_error": None,
        "error_type": None,
        "status": "success",
        "log_tail": b"",
        "response_ms": 12.34,
        "total_ms": 20.0,
        "overhead_ms": 7.5,
        "init_ms": 345.6,
        "billed_ms": 20,
        "memory_mb": 256,
        "max_memory_mb": 77,
        "log_lines": (("function", "hello"), ("datadog-agent", "noise")),
    }
    return InvokeResult(**(facts | changes))


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


@pytest.mark.parametrize(
    ("expect", "status", "as_expected"),
    [
        ("success", "success", True),
        ("success", "timeout", False),
        ("error", "error", True),
        ("error", "success", False),
    ],
)
def test_outcome_is_compared_with_what_the_sample_says(expect: Any, status: str, as_expected: bool) -> None:
    each = played(Sample(name="s", payload=b"{}", expect=expect), make_result(status=status))
    assert each.as_expected is as_expected


def test_failure_of_an_extension_is_never_what_a_sample_expects() -> None:
    result = make_result(status="error", function_error="Unhandled", error_type="Extension.Crash")
    each = played(Sample(name="s", payload=b"{}", expect="error"), result)
    assert (each.outcome, each.as_expected) == ("failure", False)


def test_error_is_named_as_the_function_names_it() -> None:
    result = make_result(
        status="error", function_error="Unhandled", error_type="Runtime.Unknown", payload=b'{"errorType":"NoStock"}'
    )
    assert played(Sample(name="s", payload=b"{}"), result).error_type == "NoStock"


def test_invocation_is_shown_with_times_answer_and_the_functions_lines() -> None:
    lines = report_text.invocation_lines(played(Sample(name="10-fine", payload=b"{}"), make_result()), 80)
    assert lines == [
        "✓ 10-fine: success",
        "    init 346 ms · answer 12.3 ms · 7.5 ms after it · billed 20 ms · 77 MB",
        '    → {"ok": true}',
        "    │ hello",
    ]


def test_unexpected_outcome_is_marked() -> None:
    lines = report_text.invocation_lines(played(Sample(name="s", payload=b"{}"), make_result(status="timeout")), 80)
    assert lines[0] == "✗ s: timeout, expected success"


def test_unexpected_outcome_shows_what_was_said_last_and_whole() -> None:
    traceback = "[ERROR] KeyError: " + "k" * 100 + "\rTraceback (most recent call last):\r  File \x1b[2J"
    said = (*(("function", f"line {number}") for number in range(50)), ("function", traceback))
    answer = b'{"errorMessage": "' + b"m" * 2_000 + b'"}'
    result = make_result(status="error", function_error="Unhandled", payload=answer, log_lines=said)
    lines = report_text.invocation_lines(played(Sample(name="s", payload=b"{}"), result), 80)
    assert lines[-3:] == [
        f"    │ [ERROR] KeyError: {'k' * 100}",
        "    │ Traceback (most recent call last):",
        "    │   File �[2J",
    ]
    assert lines[3] == "    │ … 13 lines before"
    assert len(lines) == 4 + report_text.max_failure_lines
    assert len(lines[2]) == report_text.max_failure_text


def test_python_log_line_loses_its_head_and_injected_ids() -> None:
    line = "[INFO]\t2026-01-01T00:00:00.000Z\tr1\t[dd.trace_id=1 dd.span_id=2] hello"
    assert report_text.log_text(line) == "INFO    hello"
    assert report_text.log_text("plain") == "plain"


@given(st.text(max_size=300), st.integers(60, 120))
def test_nothing_printed_can_command_a_terminal_or_break_the_width(text: str, width: int) -> None:
    each: Played = played(
        Sample(name="s", payload=b"{}"),
        make_result(payload=text.encode("utf-8", "replace"), log_lines=(("function", text),)),
    )
    for line in report_text.invocation_lines(each, width):
        assert len(line) <= width
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)


def test_numbers_are_short() -> None:
    assert [report_text.number(value) for value in (3.0, 0.1 + 0.2, 1e20)] == ["3", "0.3", "1e+20"]
    assert [report_text.ms(value) for value in (1.26, 250.4, 12_345)] == ["1.3 ms", "250 ms", "12.3 s"]
