"""Filters, replace rules and obfuscation, from what users write to what the pipeline is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddx_agent.config import load_config
from ddx_agent.config.file import ConfigFile, read_file
from ddx_traces.rules import FilterSettings, ReplaceRule, TagRule

no_file = ConfigFile()


def test_nothing_is_filtered_replaced_or_hidden_beyond_what_always_is() -> None:
    traces = load_config({}, file=no_file).config.traces
    assert traces.filters == FilterSettings()
    assert not traces.filters
    assert traces.replace_rules == ()
    assert not traces.obfuscation.redis
    assert not traces.obfuscation.cards


def test_filters_are_read_with_spaces_between_them() -> None:
    loaded = load_config(
        {
            "DD_APM_FILTER_TAGS_REQUIRE": "env:prod  team",
            "DD_APM_FILTER_TAGS_REJECT": "debug:1",
            "DD_APM_FILTER_TAGS_REGEX_REQUIRE": "service:^a.*",
            "DD_APM_FILTER_TAGS_REGEX_REJECT": "url:x:y name",
            "DD_APM_IGNORE_RESOURCES": 'GET /health, "a{1,2}"',
        },
        file=no_file,
    )
    assert not loaded.complaints
    assert loaded.config.traces.filters == FilterSettings(
        require=(TagRule("env", "prod"), TagRule("team")),
        reject=(TagRule("debug", "1"),),
        require_regex=(TagRule("service", "^a.*"),),
        reject_regex=(TagRule("url", "x:y"), TagRule("name")),
        ignore_resources=("GET /health", "a{1,2}"),
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DD_APM_FILTER_TAGS_REGEX_REJECT", "a:[ b:c", "entry 1 (a): pattern"),
        ("DD_APM_FILTER_TAGS_REQUIRE", ":x", "has no key"),
        ("DD_APM_IGNORE_RESOURCES", "(", "entry 1: pattern"),
        ("DD_APM_REPLACE_TAGS", '[{"name": "a", "pattern": "(", "repl": ""}]', "rule 1 (a): pattern"),
        ("DD_APM_REPLACE_TAGS", "[", "no JSON"),
        ("DD_APM_OBFUSCATION_REDIS_ENABLED", "maybe", "expected true or false"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str, said: str) -> None:
    (complaint,) = load_config({name: value}, file=no_file).complaints
    assert name in str(complaint)
    assert said in str(complaint)


def test_rules_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "datadog.yaml"
    path.write_text(
        """
apm_config:
  replace_tags:
    - name: http.url
      pattern: "token/[^/]*"
      repl: "token/?"
  filter_tags:
    reject: ["team:two words"]
  ignore_resources: ["a,b"]
  obfuscation:
    http:
      remove_query_string: true
    redis:
      enabled: true
    mongodb:
      enabled: true
      keep_values: [find, filter]
    credit_cards:
      enabled: true
      luhn: true
"""
    )
    loaded = load_config({}, file=read_file(str(path)))
    assert not loaded.complaints
    traces = loaded.config.traces
    assert traces.replace_rules == (ReplaceRule("http.url", "token/[^/]*", "token/?"),)
    assert traces.filters == FilterSettings(reject=(TagRule("team", "two words"),), ignore_resources=("a,b",))
    hidden = traces.obfuscation
    assert (hidden.removes_query, hidden.redis, hidden.cards, hidden.cards_luhn) == (True, True, True, True)
    assert hidden.mongodb.keep == ("find", "filter")


@pytest.mark.parametrize(
    "name", ["DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_QUERY_STRING", "DD_APM_OBFUSCATION_HTTP_REMOVE_QUERY_STRING"]
)
def test_both_spellings_count(name: str) -> None:
    assert load_config({name: "true"}, file=no_file).config.traces.obfuscation.removes_query


@pytest.mark.parametrize(
    ("written", "patterns"),
    [
        ("a\nb", ("a", "b")),
        ("a\r\nb,c\r\n\n d ", ("a", "b", "c", "d")),
        ("a\rb\n", ("a", "b")),
        ('"a,\nb"\nc', ("a,\nb", "c")),
        ('"never, closed', ("never, closed",)),
    ],
)
def test_resources_to_ignore_may_stand_on_lines_of_their_own(written: str, patterns: tuple[str, ...]) -> None:
    loaded = load_config({"DD_APM_IGNORE_RESOURCES": written}, file=no_file)
    assert not loaded.complaints
    assert loaded.config.traces.filters.ignore_resources == patterns


def test_resources_to_ignore_may_be_a_block_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "datadog.yaml"
    path.write_text("apm_config:\n  ignore_resources: |\n    GET /health\n    GET /ready\n")
    loaded = load_config({}, file=read_file(str(path)))
    assert not loaded.complaints
    assert loaded.config.traces.filters.ignore_resources == ("GET /health", "GET /ready")


def test_a_pattern_without_end_is_refused() -> None:
    (complaint,) = load_config({"DD_APM_IGNORE_RESOURCES": "x" * 131_073}, file=no_file).complaints
    assert complaint.problem == "expected regular expressions of at most 131072 characters"


@pytest.mark.parametrize(
    ("name", "separator"),
    [
        ("DD_APM_IGNORE_RESOURCES", ","),
        ("DD_APM_FILTER_TAGS_REGEX_REQUIRE", " "),
        ("DD_APM_FILTER_TAGS_REGEX_REJECT", " "),
        ("DD_APM_FILTER_TAGS_REJECT", " "),
    ],
)
def test_entries_past_the_thousandth_are_left_out_and_counted(name: str, separator: str) -> None:
    loaded = load_config({name: separator.join(f"a{number}:b" for number in range(1003))}, file=no_file)
    (complaint,) = loaded.complaints
    assert str(complaint) == (
        f"{name}: 3 of 1003 entries are too many: a list has at most 1000; it is left out, the rest is used"
    )
    filters = loaded.config.traces.filters
    kept = [*filters.ignore_resources, *filters.require_regex, *filters.reject_regex, *filters.reject]
    assert [str(each) for each in kept] == [f"a{number}:b" for number in range(1000)]
