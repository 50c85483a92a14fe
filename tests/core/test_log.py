"""The agent's own log: one line each, repeats held back, nobody's words able to make a second line."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core import log


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_an_event_and_its_fields_make_one_line() -> None:
    assert (
        log.format_event("flush_finished", {"payloads": 3, "seconds": 0.12}) == "flush_finished payloads=3 seconds=0.12"
    )
    assert log.format_event("started", {}) == "started"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("one\ntwo\r\x1b[31m", r'"one\ntwo\r\x1b[31m"'),
        ("line\u2028separator", '"line\\u2028separator"'),
        ("\ud800", '"\\ud800"'),
        ("é", "é"),
        (None, "None"),
    ],
)
def test_values_are_quoted_where_they_must_be(value: object, written: str) -> None:
    assert log.format_event("e", {"v": value}) == f"e v={written}"


@given(st.text())
def test_no_value_makes_a_second_line_or_cannot_be_written(value: str) -> None:
    line = log.format_event("e", {"v": value})
    assert len(line.splitlines()) == 1
    line.encode("utf-8")


def test_long_values_are_cut() -> None:
    assert len(log.format_event("e", {"v": "x" * 10_000})) < 600


def test_a_repeated_event_is_held_back_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    caplog.set_level(logging.INFO, "ddx")
    for number in range(4):
        log.warning("intake_refused", number=number)
    log.info("intake_refused")
    now += log.repeat_after_s
    log.warning("intake_refused", number=4)
    assert lines(caplog) == [
        "intake_refused number=0",
        "intake_refused",  # another level is another line
        "intake_refused number=4 repeats_left_out=3",
    ]


def test_the_memory_of_repeats_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ddx")
    for number in range(3000):
        log.info(f"event_{number}")
    assert len(vars(log)["_last"]) <= 1001


def test_debug_lines_are_not_limited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ddx")
    log.debug("one")
    log.debug("one")
    assert lines(caplog) == ["one", "one"]


def test_what_is_below_the_level_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "ddx")
    log.warning("unheard")
    caplog.set_level(logging.WARNING, "ddx")
    log.warning("unheard")
    assert lines(caplog) == ["unheard"]


def test_an_error_names_type_text_and_place(caplog: pytest.LogCaptureFixture) -> None:
    try:
        int("x")
    except ValueError as error:
        log.error("failed", exc_info=error)
    (line,) = lines(caplog)
    assert "ValueError: invalid literal" in line
    assert "test_log.py:" in line


def test_a_group_of_errors_is_described_by_its_members() -> None:
    group = ExceptionGroup("both", [ValueError("one"), ExceptionGroup("inner", [TypeError("two")])])
    assert log.describe(group) == "ValueError: one; TypeError: two"


def test_every_problem_of_one_thing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ddx")
    for problem in ("first of many", "second of many", "first of many"):
        log.warning("setting_ignored", about="DD_WITH_TWO_PROBLEMS", problem=problem)
    assert [line.rpartition("=")[2] for line in lines(caplog)] == ['"first of many"', '"second of many"']
