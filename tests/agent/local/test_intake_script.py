"""Scripted answers: their short forms, what goes first, and what is no script."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_agent.local.intake import Action, Answer, Script, hang, normal, read_change, reset, slow, status
from ddx_core.errors import ConfigError


def take(script: Script, kind: str = "logs", path: str = "/api/v2/logs", key: str | None = None) -> str:
    return script.take(kind=kind, path=path, key=key).describe()


def test_answers_are_used_up_in_order_and_then_it_is_normal_again() -> None:
    script = Script([503, "reset", slow(2), 202])
    assert [take(script) for _ in range(6)] == ["503", "reset", "slow(2)", "202", "normal", "normal"]


def test_the_most_precise_selector_goes_first() -> None:
    script = Script({"*": [500], "logs": [501], "/api": [502], "/api/v2": [503], "key:secret": [504]})
    assert [take(script, key="secret") for _ in range(6)] == ["504", "503", "502", "501", "500", "normal"]


def test_selectors_leave_other_requests_alone() -> None:
    script = Script({"logs": [501], "/api/v2/series": [502], "key:secret": [503]})
    assert take(script, kind="traces", path="/api/v0.2/traces", key="other") == "normal"
    assert script.left() == {"logs": ["501"], "/api/v2/series": ["502"], "key:…cret": ["503"]}


date = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("short", "answers"),
    [
        (503, [status(503)]),
        ("hang", [hang]),
        (reset, [reset]),
        ({"slow": 2}, [slow(2)]),
        ({"action": "reset", "times": 3}, [reset, reset, reset]),
        ({"status": 429, "retry_after": 5}, [Answer(action=Action.STATUS, status=429, retry_after="5")]),
        ({"status": 429, "retry_after": 0.5, "body": "wait"}, [status(429, retry_after=0.5, body="wait")]),
        ({"status": 503, "retry_after": date}, [status(503, retry_after=date)]),
    ],
)
def test_short_forms(short: Any, answers: list[Answer]) -> None:
    script = Script({"logs": [short]})
    assert [script.take(kind="logs", path="/", key=None) for _ in answers] == answers
    assert script.left() == {}


@pytest.mark.parametrize(
    "short",
    [
        99, 600, 101, True, None, "status", "slow", "explode", {}, {"status": 503, "slow": 1}, {"status": 1}, {"slow": -1},
        {"times": 2}, {"status": 503, "when": 1}, {"action": "slow"}, {"status": 503, "times": 0},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(short: Any) -> None:
    with pytest.raises(ConfigError, match="scripted"):
        Script({"logs": [short]})


@pytest.mark.parametrize("selector", ["", "log", "key:", "api/v2"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ConfigError, match="selector"):
        Script({selector: [503]})


def test_only_some_answers_keep_the_data() -> None:
    keeping = {"normal", "reset_after_read", "truncated", "202", "slow(1)"}
    answers = [normal, *every_plain_answer(), status(202), status(301), status(503), slow(1)]
    assert {answer.describe() for answer in answers if answer.keeps_data} == keeping


def every_plain_answer() -> list[Answer]:
    return [Answer(action=action) for action in Action if action not in (Action.STATUS, Action.SLOW, Action.NORMAL)]


def test_changes_while_it_runs() -> None:
    script = Script({"logs": [503]})
    script.add("logs", 504, "reset")
    assert script.left() == {"logs": ["503", "504", "reset"]}
    script.replace([500])
    script.resetting = True
    script.refused_keys.add("k")
    assert take(script) == "reset"
    script.clear()
    assert (take(script), script.left(), script.refused_keys) == ("normal", {}, set())


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('[503, {"slow": 1}]', [503, {"slow": 1}]),
        ('{"logs": [503]}', {"logs": [503]}),
        ('{"answers": {"logs": [503]}, "refused_keys": ["k"], "down": true, "refuse_s": 2}', {"logs": [503]}),
        ("{}", {}),
    ],
)
def test_changes_come_as_json(text: str, answers: Any) -> None:
    assert read_change(text).answers == answers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "[",
        '{"log": [503]}',
        '{"logs": 503}',
        '{"down": "yes"}',
        '{"down_s": -1}',
        '{"down": true, "x": 1}',
        "[" * 9999,
    ],
)
def test_what_is_no_change_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_change(text)
