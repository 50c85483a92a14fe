"""Rules that rewrite tags; the first vectors are those of libdatadog (replacer.rs) and of datadog-agent (pkg/trace/filters)."""

from __future__ import annotations

import json

import pytest

from ddx_traces.rules import Replacer, ReplaceRule, parse_replace_rules
from ddx_traces.span import Span

from .support import span


def replaced(rules: list[tuple[str, str, str]], changed: Span) -> Span:
    Replacer([ReplaceRule(*rule) for rule in rules]).apply(changed)
    return changed


def test_rules_act_in_order_each_on_what_the_one_before_left() -> None:
    rules = [
        ("http.url", "(token/)([^/]*)", "${1}?"),
        ("http.url", "guid", "[REDACTED]"),
        ("custom.tag", "(/foo/bar/).*", "${1}extra"),
    ]
    changed = replaced(
        rules, span(meta={"http.url": "some/guid/token/abcdef/abc", "custom.tag": "/foo/bar/foo", "x": "guid"})
    )
    assert changed.meta == {"http.url": "some/[REDACTED]/token/?/abc", "custom.tag": "/foo/bar/extra", "x": "guid"}


def test_a_star_is_for_all_tags_and_the_resource() -> None:
    rules = [("*", "(token/)([^/]*)", "${1}?"), ("*", "this", "that"), ("resource.name", "prod", "stage")]
    changed = replaced(rules, span(resource="this is prod", meta={"other.url": "some/guid/token/abcdef/abc"}))
    assert (changed.resource, changed.meta) == ("that is stage", {"other.url": "some/guid/token/?/abc"})


def test_numbers_are_replaced_as_text_and_move_when_they_are_none_any_more() -> None:
    metrics = {"request.zipcode": 12345.0, "user.id": 42.5, "big": 1e22, "same": 7.0, "_sampling_priority_v1": 1.0}
    changed = replaced(
        [("*", "^(12)3(45)$", "$1$2"), ("user.id", r"\d+\.5", "?"), ("big", "^1(0{22})$", "x$1")], span(metrics=metrics)
    )
    assert changed.metrics == {"request.zipcode": 1245.0, "same": 7.0, "_sampling_priority_v1": 1.0}
    assert changed.meta == {"user.id": "?", "big": "x" + "0" * 22}


def test_a_star_spares_what_holds_a_trace_together() -> None:
    meta = {"_dd.p.tid": "66f1a2b300000000", "_dd.span_links": "66f1", "x": "66f1"}
    changed = replaced([("*", "66f1", "?"), ("*", "^1$", "2")], span(meta=meta, metrics={"_sampling_priority_v1": 1.0}))
    assert changed.meta == {"_dd.p.tid": "66f1a2b300000000", "_dd.span_links": "?", "x": "?"}
    assert changed.metrics == {"_sampling_priority_v1": 1.0}


def test_tags_of_the_function_and_resources_of_statistics_follow_the_same_rules() -> None:
    replacer = Replacer(
        [ReplaceRule("*", "secret", "?"), ReplaceRule("team", "web", "x"), ReplaceRule("resource.name", "a", "b")]
    )
    assert replacer.replace_tags({"team": "web", "other": "web secret"}) == {"team": "x", "other": "web ?"}
    assert replacer.replace_resource("a secret") == "b ?"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"name": "a", "pattern": "(", "repl": ""}, "pattern: missing )"),
        ({"name": "a", "pattern": "(?=x)", "repl": ""}, "no look-around"),
        ({"name": "a", "pattern": "x"}, "repl is missing"),
        ({"name": "a", "repl": "x"}, "pattern is missing"),
        ({"name": "", "pattern": "x", "repl": ""}, "name is empty"),
        ("x", "expected a map"),
    ],
)
def test_a_bad_rule_is_named_and_left_out(entry: object, problem: str) -> None:
    rules, problems = parse_replace_rules(json.dumps([entry, {"name": "b", "pattern": "x", "repl": "y"}]))
    assert rules == (ReplaceRule("b", "x", "y"),)
    assert len(problems) == 1
    assert problem in problems[0]
    assert problems[0].startswith("rule 1")


@pytest.mark.parametrize("raw", ["{", "{}", "1", '"x"'])
def test_what_is_no_list_gives_no_rules(raw: str) -> None:
    rules, (problem,) = parse_replace_rules(raw)
    assert rules == ()
    assert "expected a list of rules" in problem


def test_nothing_written_is_nothing_wrong() -> None:
    assert parse_replace_rules(" ") == ((), ())


def test_a_rule_does_not_show_its_pattern() -> None:
    assert "secret" not in repr(ReplaceRule("a", "secret", ""))
