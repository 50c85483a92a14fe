"""The tags that every span gets: the function's, its origin, and who computes the statistics.

Rule of this file: they are encoded once, when they become known, and appended to each span's own encoding; in Protobuf the
bytes of two messages one after the other are one message. `apply` takes out of a span what is about to be overwritten, so
that no key is there twice.
"""

from __future__ import annotations

from ddx_core.proto import traces_pb2
from ddx_core.tags import TagSet

from ..span import Span
from .context import origin_key

lambda_service = "aws.lambda"


class SpanTags:
    """`tags` go on every span. `origin` names the platform; a span that names another origin keeps its own."""

    def __init__(self, tags: TagSet, *, origin: str, base_service: str) -> None:
        self._service = tags.get("service")
        self._base_service = base_service
        common = dict(tags)
        if origin:
            common["origin"] = origin
        self._overwritten = frozenset(common)
        own_origin = {origin_key: origin} if origin and origin_key not in common else {}
        stats = {"_dd.compute_stats": "1"}
        self._encoded = {
            (False, False): _encode(common | own_origin),
            (False, True): _encode(common),
            (True, False): _encode(common | own_origin | stats),
            (True, True): _encode(common | stats),
        }

    def apply(self, span: Span) -> None:
        """Change what depends on the span itself."""
        meta = span.meta
        if not self._overwritten.isdisjoint(meta):
            for key in self._overwritten.intersection(meta):
                del meta[key]
        if span.service == lambda_service and self._service:
            span.service = self._service
        if "_inferred_span.tag_source" in meta and "_dd.base_service" not in meta:
            meta["_dd.base_service"] = self._base_service

    def encoded_for(self, span: Span, *, backend_computes_stats: bool) -> bytes:
        """What to append to the encoding of `span`."""
        return self._encoded[backend_computes_stats, bool(span.meta.get(origin_key))]


def _encode(tags: dict[str, str]) -> bytes:
    return traces_pb2.Span(meta=tags).SerializeToString(deterministic=True)


def choose_base_service(*, service: str, function_name: str, represents_services: bool) -> str:
    """The service that inferred spans name as their base (`represents_services`: whether they carry services of their own)."""
    if not represents_services:
        return lambda_service
    return service or function_name or lambda_service
