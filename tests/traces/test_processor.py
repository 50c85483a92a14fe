"""A trace through all steps of processing."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_traces.process import Normalizer, OwnCalls, Processed, Processor, SpanTags
from ddx_traces.rules import Replacer, ReplaceRule
from ddx_traces.span import Span, TraceChunk, Tracer, TracerPayload

from .support import function_tags, now, span

tags = SpanTags(function_tags, origin="lambda", base_service="orders")


def process(spans: list[Span], payload: TracerPayload | None = None) -> list[TraceChunk]:
    processor = Processor(Normalizer(lambda: now), OwnCalls(["http://127.0.0.1:9001"]))
    return processor.process(spans, payload or TracerPayload(), tags).chunks


def process_with(spans: list[Span], payload: TracerPayload, tags: SpanTags, **parts: Any) -> Processed:
    return Processor(Normalizer(lambda: now), OwnCalls([]), **parts).process(spans, payload, tags)


def test_chunk_has_the_roots_priority_and_origin() -> None:
    spans = [
        span(span_id=3, parent_id=2, meta={"_dd.origin": "rum"}),
        span(metrics={"_sampling_priority_v1": 2}, meta={"_dd.origin": "synthetics"}),
    ]
    (chunk,) = process(spans)
    assert (chunk.priority, chunk.origin) == (2, "synthetics")
    assert chunk.spans == spans


def test_nothing_becomes_nothing() -> None:
    assert process([]) == []


def test_spans_of_foreign_trace_ids_get_chunks_of_their_own() -> None:
    spans = [span(trace_id=1, span_id=1), span(trace_id=2, span_id=2), span(trace_id=1, span_id=3, parent_id=1)]
    chunks = process(spans)
    assert [[each.span_id for each in chunk.spans] for chunk in chunks] == [[1, 3], [2]]


def test_own_calls_go_and_the_rest_of_the_trace_stays() -> None:
    processor = Processor(Normalizer(lambda: now), OwnCalls(["http://127.0.0.1:9001"]))
    spans = [span(), span(span_id=3, meta={"http.url": "http://127.0.0.1:9001/x"}), span(span_id=4, name="dns.lookup")]
    processed = processor.process(spans, TracerPayload(), tags)
    assert [[each.span_id for each in chunk.spans] for chunk in processed.chunks] == [[2]]
    assert processed.filtered == 2


def test_chunk_of_which_nothing_is_left_is_not_sent() -> None:
    assert process([span(resource="dd-tracer-serverless-span")]) == []


def test_root_counts_for_the_chunk_even_when_it_is_dropped() -> None:
    spans = [span(span_id=3, parent_id=2), span(name="dns.lookup", metrics={"_sampling_priority_v1": 1})]
    (chunk,) = process(spans)
    assert chunk.priority == 1
    assert [each.span_id for each in chunk.spans] == [3]


@pytest.mark.parametrize(("computed", "expected"), [(False, [2]), (True, [3])])
def test_header_says_who_finds_service_entries(computed: bool, expected: list[int]) -> None:
    payload = TracerPayload(tracer=Tracer(computed_top_level=computed))
    spans = [span(), span(span_id=3, parent_id=2, metrics={"_dd.top_level": 1})]
    (chunk,) = process(spans, payload)
    assert [each.span_id for each in chunk.spans if each.metrics.get("_top_level") == 1] == expected


def test_services_are_compared_as_normalized() -> None:
    spans = [span(service="My Service"), span(span_id=3, parent_id=2, service="my_service")]
    process(spans)
    assert "_top_level" not in spans[1].metrics


def test_payload_environment_is_normalized() -> None:
    payload = TracerPayload()
    process([span(meta={"env": "PRODUCTION"})], payload)
    assert payload.env == "production"


def test_payload_fields_come_from_the_first_trace_that_tells_them() -> None:
    payload = TracerPayload()
    process([span(meta={"env": "!!!", "version": "1.0"})], payload)
    process([span(trace_id=2, meta={"env": "prod", "version": "2.0"})], payload)
    process([span(trace_id=3, meta={"env": "other", "runtime-id": "r", "_dd.hostname": "h"})], payload)
    assert (payload.env, payload.app_version, payload.runtime_id, payload.hostname) == ("prod", "1.0", "r", "h")


def test_payload_fields_come_from_the_root_first_and_never_from_our_own_tags() -> None:
    payload = TracerPayload()
    own = SpanTags(function_tags.with_tags([("env", "ours")]), origin="lambda", base_service="x")
    processor = Processor(Normalizer(lambda: now), OwnCalls([]))
    processor.process([span(span_id=3, parent_id=2, meta={"version": "1"}), span(meta={"version": "2"})], payload, own)
    assert (payload.app_version, payload.env) == ("2", "")


def test_values_are_hidden_before_rules_rewrite_them() -> None:
    replacer = Replacer([ReplaceRule("sql.query", r"\?", "!"), ReplaceRule("resource.name", "SELECT", "READ")])
    changed = span(type="sql", resource="SELECT 'x'")
    process_with([changed], TracerPayload(), tags, replacer=replacer)
    assert (changed.resource, changed.meta["sql.query"]) == ("READ ?", "SELECT !")
