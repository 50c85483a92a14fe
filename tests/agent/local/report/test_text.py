"""What `ddx local` prints for people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.local.function import Sample
from ddx_agent.local.report import text as report_text
from ddx_agent.local.report.played import Played, played
from tests.support.local_platform import make_result


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
