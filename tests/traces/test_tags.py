"""The tags that every span gets."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_core.tags import TagSet
from ddx_traces.process import SpanTags, choose_base_service
from ddx_traces.span import Span
from ddx_traces.span_encoder import SpanEncoder

from .protobuf_reader import read_message
from .support import function_tags, span


def tagged(changed: Span, tags: SpanTags, *, backend_computes_stats: bool = True) -> dict[str, Any]:
    """What the backend reads (and no key twice)."""
    tags.apply(changed)
    suffix = tags.encoded_for(changed, backend_computes_stats=backend_computes_stats)
    return read_message("Span", SpanEncoder().encode(changed) + suffix)


def make(tags: TagSet = function_tags, **fields: Any) -> SpanTags:
    return SpanTags(tags, **{"origin": "lambda", "base_service": "orders", **fields})


def test_every_span_gets_the_functions_tags_and_its_origin() -> None:
    assert tagged(span(meta={"own": "1"}), make())["meta"] == {
        "own": "1",
        "functionname": "orders",
        "region": "eu-west-1",
        "service": "shop",
        "origin": "lambda",
        "_dd.origin": "lambda",
        "_dd.compute_stats": "1",
    }


def test_function_tags_take_the_place_of_the_tracers() -> None:
    meta = tagged(span(meta={"region": "mars", "origin": "x", "functionname": "y"}), make())["meta"]
    assert (meta["region"], meta["origin"], meta["functionname"]) == ("eu-west-1", "lambda", "orders")


def test_statistics_are_asked_for_only_where_the_tracer_makes_none() -> None:
    assert "_dd.compute_stats" not in tagged(span(), make(), backend_computes_stats=False)["meta"]


@pytest.mark.parametrize("backend_computes_stats", [True, False])
def test_another_origin_is_kept(backend_computes_stats: bool) -> None:
    changed = span(meta={"_dd.origin": "synthetics"})
    meta = tagged(changed, make(), backend_computes_stats=backend_computes_stats)["meta"]
    assert meta["_dd.origin"] == "synthetics"
    assert meta["origin"] == "lambda"
    assert meta.get("_dd.compute_stats") == ("1" if backend_computes_stats else None)


def test_without_a_platform_there_is_no_origin() -> None:
    meta = tagged(span(), make(TagSet(), origin=""), backend_computes_stats=False)["meta"]
    assert meta == {}


def test_placeholder_service_becomes_the_functions() -> None:
    assert tagged(span(service="aws.lambda"), make())["service"] == "shop"
    assert tagged(span(service="aws.lambda"), make(TagSet()))["service"] == "aws.lambda"
    assert tagged(span(service="web"), make())["service"] == "web"


def test_inferred_spans_get_a_base_service_unless_they_have_one() -> None:
    inferred = {"_inferred_span.tag_source": "self"}
    assert tagged(span(meta={**inferred}), make())["meta"]["_dd.base_service"] == "orders"
    own = tagged(span(meta={**inferred, "_dd.base_service": "mine"}), make())["meta"]
    assert own["_dd.base_service"] == "mine"
    assert "_dd.base_service" not in tagged(span(), make())["meta"]


@pytest.mark.parametrize(
    ("service", "function_name", "represents_services", "expected"),
    [
        ("shop", "orders", True, "shop"),
        ("", "orders", True, "orders"),
        ("", "", True, "aws.lambda"),
        ("shop", "orders", False, "aws.lambda"),
    ],
)
def test_base_service_is_chosen(service: str, function_name: str, represents_services: bool, expected: str) -> None:
    chosen = choose_base_service(service=service, function_name=function_name, represents_services=represents_services)
    assert chosen == expected
