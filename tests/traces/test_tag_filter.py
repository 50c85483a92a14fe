"""Traces that the user does not want; vectors of bottlecap (trace_processor.rs) and libdatadog (TraceFilterer)."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_traces.process import Normalizer
from ddx_traces.rules import FilterSettings, TraceFilter, parse_patterns, parse_tag_rules
from ddx_traces.span import TracerPayload

from .support import now, span
from .test_processor import process_with, tags


def settings(
    *, require: str = "", reject: str = "", require_regex: str = "", reject_regex: str = "", ignore: str = ""
) -> FilterSettings:
    return FilterSettings(
        require=parse_tag_rules(require.split(), are_patterns=False)[0],
        reject=parse_tag_rules(reject.split(), are_patterns=False)[0],
        require_regex=parse_tag_rules(require_regex.split(), are_patterns=True)[0],
        reject_regex=parse_tag_rules(reject_regex.split(), are_patterns=True)[0],
        ignore_resources=parse_patterns([ignore] if ignore else [])[0],
    )


def keeps(filters: FilterSettings, **fields: Any) -> bool:
    root = span(**fields)
    Normalizer(lambda: now).apply(root)
    return not TraceFilter(filters).rejects(root)


@pytest.mark.parametrize(
    ("meta", "kept"),
    [
        ({"env": "production", "service": "api"}, True),
        ({"env": "production"}, False),
        ({"env": "development", "service": "api"}, False),
    ],
)
def test_all_that_is_required_must_be_there(meta: dict[str, str], kept: bool) -> None:
    assert keeps(settings(require="env:production service:api"), meta=meta) is kept


@pytest.mark.parametrize(("meta", "kept"), [({"debug": "true", "env": "x"}, False), ({"env": "production"}, True)])
def test_nothing_that_is_rejected_may_be_there(meta: dict[str, str], kept: bool) -> None:
    assert keeps(settings(reject="debug:true env:test"), meta=meta) is kept


@pytest.mark.parametrize(
    ("entry", "kept"),
    [("env:production", True), ("env:development", False), ("env:", False), ("env", True), ("other", False),
     ("service:my-service", True), ("service:other", False), ("name:op", True), ("resource:res", True), ("type:web", True)],
)  # fmt: skip
def test_tags_and_fields_are_compared_exactly(entry: str, kept: bool) -> None:
    root: dict[str, Any] = {
        "name": "op",
        "resource": "res",
        "type": "web",
        "service": "my-service",
        "meta": {"env": "production"},
    }
    assert keeps(settings(require=entry), **root) is kept
    assert keeps(settings(reject=entry), **root) is not kept


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ("env:prod.*", True),
        ("env:", True),
        ("env:dev.*", False),
        ("service:.*-service", True),
        ("service:api-.*", False),
        ("env", True),
    ],
)
def test_patterns_are_searched(entry: str, kept: bool) -> None:
    root: dict[str, Any] = {"service": "user-service", "meta": {"env": "production"}}
    assert keeps(settings(require_regex=entry), **root) is kept
    assert keeps(settings(reject_regex=entry), **root) is not kept


def test_values_are_compared_as_they_are_normalized() -> None:
    assert not keeps(settings(reject="env:prod"), meta={"env": "PROD"})
    assert keeps(settings(require="env:prod_env"), meta={"env": "Prod Env"})
    assert keeps(settings(reject="http.status_code:abc"), meta={"http.status_code": "abc"})


def test_resources_can_be_ignored() -> None:
    assert not keeps(settings(ignore="GET /health"), resource="GET /health")
    assert not keeps(settings(ignore="op"), resource="", name="op")
    assert keeps(settings(ignore="GET /health"), resource="GET /orders")


def test_bad_entries_are_named_and_left_out() -> None:
    rules, problems = parse_tag_rules(["a:[x", ":v", "b:y"], are_patterns=True)
    assert [str(rule) for rule in rules] == ["b:y"]
    assert [problem.partition(":")[0] for problem in problems] == ["entry 1 (a)", "entry 2 has no key"]
    assert parse_patterns(["(", "x"])[0] == ("x",)


def test_tracers_are_told_in_the_words_of_the_info_page() -> None:
    assert settings(require="a:b c", reject_regex="d:e.*", ignore="x").describe() == {
        "filter_tags": {"require": ["a:b", "c"], "reject": []},
        "filter_tags_regex": {"require": [], "reject": ["d:e.*"]},
        "ignore_resources": ["x"],
    }
    assert not FilterSettings()
    assert FilterSettings().describe() == {}


def test_a_rejected_trace_goes_whole_and_others_stay() -> None:
    spans = [span(span_id=3, parent_id=2), span(meta={"debug": "1"}), span(trace_id=9, span_id=8)]
    processed = process_with(spans, TracerPayload(), tags, trace_filter=TraceFilter(settings(reject="debug")))
    assert [[each.span_id for each in chunk.spans] for chunk in processed.chunks] == [[8]]
    assert (processed.rejected, processed.filtered) == (2, 0)
