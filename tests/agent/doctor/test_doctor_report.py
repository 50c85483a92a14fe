"""Findings become an exit code, text and JSON; secrets never do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.doctor.findings import Finding, Level, exit_code
from ddx_agent.doctor.report import Redactor, render_json, render_text

fine = Finding("settings", Level.OK, "3 settings set; nothing to complain of")
note = Finding("api key", Level.NOTE, "not the form of a key", "copy the key itself")
warning = Finding("ports", Level.WARNING, "8125/udp is held by pid 7", "end that process")
error = Finding("intakes", Level.ERROR, "logs: dns failed", "check DD_SITE")


@pytest.mark.parametrize(
    ("findings", "code"),
    [([], 0), ([fine], 0), ([fine, note], 0), ([note, warning], 1), ([warning, error, fine], 2)],
)
def test_the_exit_code_tells_the_worst_finding(findings: list[Finding], code: int) -> None:
    assert exit_code(findings) == code
    assert json.loads(render_json(findings, version="1.2"))["exit_code"] == code


def test_text_is_grouped_by_check_with_a_mark_and_what_to_do() -> None:
    assert render_text([fine, error, note, warning, fine]) == (
        "settings\n"
        "  ✓ 3 settings set; nothing to complain of\n"
        "  ✓ 3 settings set; nothing to complain of\n"
        "\nintakes\n  ✗ logs: dns failed\n    → check DD_SITE\n"
        "\napi key\n  · not the form of a key\n    → copy the key itself\n"
        "\nports\n  ! 8125/udp is held by pid 7\n    → end that process\n"
        "\n1 error, 1 warning, 1 note\n"
    )
    assert render_text([fine, note]).endswith("all is well, 1 note\n")


def test_names_and_commands_are_not_broken_at_the_end_of_a_line() -> None:
    command = "com.amazonaws.eu-central-1.secretsmanager-with-a-very-long-name-that-fills-more-than-sixty-columns"
    assert command in render_text([Finding("x", Level.ERROR, "text", f"do this: {command} and no more")], width=60)


def test_json_has_every_finding() -> None:
    document = json.loads(render_json([warning], version="1.2"))
    assert document["version"] == "1.2"
    assert document["findings"] == [
        {"check": "ports", "level": "warning", "text": warning.text, "help": "end that process"}
    ]


# Without the star, which the redactor itself writes.
secrets = st.text(st.characters(min_codepoint=43, max_codepoint=0x2FF), min_size=6, max_size=40)


@given(secrets, st.text(), st.text())
def test_no_secret_passes_the_redactor(secret: str, before: str, after: str) -> None:
    cleaned = Redactor([secret]).clean(Finding("x", Level.ERROR, before + secret + after, after + secret + before))
    assert secret not in cleaned.text
    assert secret not in cleaned.help


def test_a_password_is_recognised_as_it_stands_in_a_url() -> None:
    assert Redactor(["p@ss/word"]).redact("http://u:p%40ss%2Fword@proxy") == "http://u:***@proxy"


def test_of_two_secrets_in_each_other_none_is_left_in_part() -> None:
    assert Redactor(["abcdefgh", "abcdefghijkl"]).redact("x abcdefghijkl y") == "x *** y"


def test_control_characters_do_not_reach_a_terminal() -> None:
    cleaned = Redactor([]).clean(Finding("x", Level.OK, "issuer \x1b[2J\r\n", ""))
    assert cleaned.text == "issuer �[2J��"
