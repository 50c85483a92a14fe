"""Processing rules. Vectors marked "published" are those of bottlecap's `logs/processor.rs`; expected results of patterns and
placeholders are what Go's `regexp` and Rust's `regex` document."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_logs.encode import truncation_marker
from ddx_logs.rules import Rule, Rules, RuleType, parse_rules

exclude, include, mask = RuleType.EXCLUDE_AT_MATCH, RuleType.INCLUDE_AT_MATCH, RuleType.MASK_SEQUENCES


def masked(pattern: str, placeholder: str, text: str) -> str | None:
    return Rules([Rule(mask, "mask", pattern, placeholder)]).apply(text)


def matches(pattern: str, text: str) -> bool:
    return Rules([Rule(include, "match", pattern)]).apply(text) is not None


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        # Published.
        (
            [Rule(mask, "m", "replace-me", "test-placeholder")],
            "do-not-replace replace-me",
            "do-not-replace test-placeholder",
        ),
        ([Rule(exclude, "e", "exclude-me")], "exclude-me", None),
        ([Rule(include, "i", "include-me")], "include-me", "include-me"),
        ([Rule(include, "i", "include-me")], "do-not-include-me", "do-not-include-me"),
        (
            [Rule(mask, "m", "(User email: )[^@]*@(.*)", "$1 masked_user@${2}")],
            "User email: foo.bar@example.com",
            "User email:  masked_user@example.com",
        ),
        # Matching is unanchored and case-sensitive; several includes must all match.
        ([Rule(exclude, "e", "exclude-me")], "Exclude-me", "Exclude-me"),
        ([Rule(include, "a", "a"), Rule(include, "b", "b")], "a", None),
        ([Rule(include, "a", "a"), Rule(include, "b", "b")], "ba", "ba"),
        # Each acts on what the one before it left.
        ([Rule(mask, "m", "secret", "x"), Rule(exclude, "e", "secret")], "a secret", "a x"),
        ([Rule(exclude, "e", "secret"), Rule(mask, "m", "secret", "x")], "a secret", None),
        ([Rule(mask, "a", "a", "b"), Rule(mask, "b", "b", "c")], "ab", "cc"),
    ],
)
def test_rules_act_in_order_on_the_text(rules: list[Rule], text: str, expected: str | None) -> None:
    assert Rules(rules).apply(text) == expected


@pytest.mark.parametrize(
    ("placeholder", "expected"),
    [
        ("", ""),
        ("<$0>", "<key=value>"),
        ("$1", "key"),
        ("${1}x", "keyx"),
        ("$1x", ""),  # the group named 1x
        ("$2-$1", "value-key"),
        ("$name", "value"),
        ("${name}s", "values"),
        ("$names", ""),
        ("$9", ""),
        ("$3", ""),  # took no part
        ("$$1", "$1"),
        ("$$$1", "$key"),
        ("$", "$"),
        ("$-$", "$-$"),
        ("${1", "${1"),
        ("$é", "$é"),
        ("\\1\\n", "\\1\\n"),
        ("$99999999999999999999", ""),
        ("${¹}", ""),
    ],
)
def test_placeholder_refers_to_groups_as_go_and_rust_have_it(placeholder: str, expected: str) -> None:
    assert masked("(\\w+)=(?P<name>\\w+)(;)?", placeholder, "key=value") == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        # Unicode classes, in and out of brackets.
        (r"\d+", "٣4", True),
        (r"^\w+$", "naïve_名前", True),
        (r"^[\w.]+$", "né.é", True),
        (r"^[^\W_]+$", "né", True),
        (r"[^\W_]", "_", False),
        (r"^\W$", "☃", True),
        (r"\W", "é", False),
        (r"^\s$", "\u3000", True),
        (r"^\s$", "\v", True),
        (r"\S", "\u00a0\u2003", False),
        (r"^[\S]$", "☃", True),
        (r"[\s]", "x", False),
        (r"\D", "٣", False),
        (r"^(?-u)\w$", "é", False),
        (r"(?i)ÉTÉ", "été", True),
        (r"^\pL\p{Greek}$", "aλ", True),
        (r"^[[:alpha:]]$", "a", True),
        (r"^[[:^alpha:]]$", "1", True),
        # Ends of the text and of lines.
        (r"a$", "a\n", False),
        (r"(?m)a$", "a\nb", True),
        (r"^b", "a\nb", False),
        (r"(?m)^b", "a\nb", True),
        (r"\Aa\z", "a", True),
        (r"a.b", "a\nb", False),
        (r"(?s)a.b", "a\nb", True),
        # Flags.
        (r"(?i)ABC", "abc", True),
        (r"(?i:A)B", "ab", False),
        (r"(?i)a(?-i)B", "Ab", False),
        ("(?x) a b  # a comment\n [ c d ]", "abd", True),
        ("(?x) a\\ b \\# [#]", "a b##", True),
        ("(?x:a b)c d", "abc d", True),
        ("(?:(?x) a b) c", "ab c", True),
        ("(?xi) a b", "AB", True),
        ("(?x)a b(?-x) c", "ab c", True),
        # Groups with names, literal parts, escapes.
        (r"(?<name>a)b", "ab", True),
        (r"\Q.*[\E", "x.*[x", True),
        (r"\Q.*", "x.*", True),
        (r"\u{1F600}\u00e9\U0000007a", "😀éz", True),
        (r"\x{e9}\x7a", "éz", True),
        (r"\\d", r"\d", True),
        (r"[]a]", "]", True),
        (r"[^]a]", "]", False),
        (r"\[[^[]*\]", "[x]", True),
        (r"[\]&]", "&", True),
        (r"[&]&", "&&", True),
        (r"[a\-z]", "-", True),
        (r"\bcat\b", "a cat!", True),
    ],
)
def test_patterns_mean_what_users_wrote(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


def test_greed_can_be_swapped() -> None:
    assert masked("(?U)a+", "x", "aaa") == "xxx"
    assert masked("a+?", "x", "aaa") == "xxx"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [("a*", "baac", "xbxcx"), ("", "aé😀", "xaxéx😀x"), ("b*", "", "x"), ("$", "a", "ax"), (r"\b", "a b", "xax xbx")],
)
def test_nothing_is_matched_once_between_characters_and_never_beside_a_match(
    pattern: str, text: str, expected: str
) -> None:
    assert masked(pattern, "x", text) == expected


def test_text_that_no_rule_changes_stays_the_same_object() -> None:
    text = "half \ud800 a character"
    assert Rules([Rule(mask, "m", "x", "y"), Rule(exclude, "e", "z")]).apply(text) is text
    assert masked("half", "part", text) == "part ? a character"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("{", "no JSON: expected a list of rules"),
        ("7", "expected a list of rules"),
        ({"type": "x"}, "expected a list of rules"),
        (["x"], "rule 1: expected a map"),
        ([{"type": "multi_line", "name": "n", "pattern": "a"}], "rule 1 (n): type 'multi_line': expected one of"),
        ([{"type": "mask_sequences", "pattern": "a"}], "rule 1: name is missing"),
        ([{"type": "mask_sequences", "name": "n"}], "rule 1 (n): pattern is missing"),
        ([{"name": "n", "pattern": "a"}], "rule 1 (n): type is missing"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "a", "replace_placeholder": 7}], "replace_placeholder"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "("}], "rule 1 (n): pattern: missing )"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "\ud800"}], "half a character"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "(?<=hunter2)x"}], "no look-around"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "(hunter2)\\1"}], "no back-reference"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "[a-z&&[^hunter2]]"}], "set operations"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "\\Chunter2"}], "\\C is not supported"),
        ([{"type": "mask_sequences", "name": "n", "pattern": "hunter2{1001}"}], "invalid repetition"),
    ],
)
def test_bad_rule_is_named_without_its_pattern_and_left_out(raw: Any, problem: str) -> None:
    good = {"type": "exclude_at_match", "name": "good", "pattern": "a", "unknown": "ignored"}
    is_list = isinstance(raw, list)
    tree: Any = [good, *raw] if is_list else raw
    rules, problems = parse_rules(tree)
    assert [rule.name for rule in rules] == (["good"] if is_list else [])
    (told,) = problems
    assert problem.replace("rule 1", "rule 2") in told
    assert "hunter2" not in told


def test_rules_come_as_json_text_or_as_a_tree() -> None:
    tree = [{"type": "mask_sequences", "name": "n", "pattern": "a", "replace_placeholder": "b"}]
    expected = ((Rule(mask, "n", "a", "b"),), ())
    assert parse_rules(tree) == parse_rules(msgspec.json.encode(tree).decode()) == expected
    assert parse_rules("[]") == parse_rules([]) == parse_rules("  ") == ((), ())


def test_pattern_is_not_shown_with_the_rule() -> None:
    assert "hunter2" not in repr(Rule(mask, "n", "hunter2", "x"))


def test_bad_pattern_writes_nothing_to_the_standard_streams(capfd: pytest.CaptureFixture[str]) -> None:
    parse_rules([{"type": "mask_sequences", "name": "n", "pattern": "(hunter2"}])
    assert capfd.readouterr() == ("", "")


def test_engine_is_loaded_only_where_there_are_rules() -> None:
    code = "import sys, ddx_logs.pipeline, ddx_logs.rules as r; r.parse_rules('[]'); print('re2' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        # Each would keep a backtracking engine busy for longer than the universe is old.
        ("(a+)+$", "a" * (1 << 20) + "b"),
        ("(x+x+)+y", "x" * (1 << 20)),
        ("(.*?,){11}P", "1," * (1 << 19)),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * (1 << 20)),
        ("(a|a)*b", "a" * (1 << 20)),
        ("(a?){50}a{50}c", "a" * (1 << 20)),
    ],
)
@pytest.mark.parametrize("placeholder", ["x", "$1"])
def test_pathological_pattern_takes_time_linear_in_the_text(pattern: str, text: str, placeholder: str) -> None:
    # That this ends at all is the proof: a backtracking engine does not come back.
    assert masked(pattern, placeholder, text) is not None


def test_large_line_with_very_many_matches_is_masked_to_its_end() -> None:
    records = msgspec.json.encode([{"id": number, "email": f"user{number}@example.com"} for number in range(4000)])
    text = records.decode()
    assert masked(r"\d", "*", text) == re.sub(r"\d", "*", text)
    assert masked("a", "x", "a" * (1 << 18)) == "x" * (1 << 18)


quadratic = r"a(?:.*b)?"
"""Every `a` is a match, found only after all the text behind it was searched."""


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddx_core.regex.matcher.max_seconds", 0.02)


@pytest.mark.usefixtures("hurry")
def test_line_that_takes_too_long_to_mask_ends_after_the_last_match() -> None:
    text = masked(quadratic, "x", "a" * (1 << 18))
    assert text is not None
    assert re.fullmatch(rf"x+{re.escape(truncation_marker.decode())}", text)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("word", ["word", "nothing"])
def test_line_cut_by_a_mask_is_counted_and_kept_where_an_include_could_match_the_rest(word: str) -> None:
    rules = Rules([Rule(mask, "m", quadratic, "x"), Rule(include, "i", word)])
    text = rules.apply("a" * (1 << 18) + "word")
    assert text is not None
    assert text.endswith(truncation_marker.decode())
    assert rules.truncated == 1


@pytest.mark.usefixtures("hurry")
def test_line_cut_by_a_mask_and_left_out_by_a_later_rule_is_not_counted_as_cut() -> None:
    rules = Rules([Rule(mask, "m", quadratic, "x"), Rule(exclude, "e", "^xx")])
    assert rules.apply("a" * (1 << 18)) is None
    assert rules.truncated == 0


simple = st.text("ab.*+?|()[]^$\\dw1é{},-x", max_size=12)


@settings(max_examples=40, deadline=None)
@given(simple, st.text("$12{}ab\\", max_size=8), st.text("aé1 b\n\ud800", max_size=20))
def test_any_pattern_is_a_rule_that_works_or_a_named_problem(pattern: str, placeholder: str, text: str) -> None:
    entry = {"type": "mask_sequences", "name": "n", "pattern": pattern, "replace_placeholder": placeholder}
    rules, problems = parse_rules([entry])
    assert len(rules) + len(problems) == 1
    if rules:
        assert isinstance(Rules(rules).apply(text), str)


@settings(max_examples=40, deadline=None)
@given(st.text("abAB1 é", min_size=1, max_size=4), st.text("abAB1 é", max_size=30), st.text("xy-", max_size=3))
def test_literal_words_are_masked_as_str_replace_would(word: str, text: str, placeholder: str) -> None:
    assert masked(re.escape(word), placeholder, text) == text.replace(word, placeholder)
    assert matches(re.escape(word), text) is (word in text)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "pattern", "replace_placeholder"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(json_values | st.lists(json_values, max_size=4))
def test_any_tree_gives_rules_and_problems_and_never_fails(tree: Any) -> None:
    rules, problems = parse_rules(tree)
    if isinstance(tree, list):
        assert len(rules) + len(problems) == len(tree)  # pyright: ignore[reportUnknownArgumentType]
