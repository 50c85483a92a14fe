"""Span pointers: links from the span of an invocation to what started it (an S3 object, a DynamoDB item). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from ..span import Span

links_key = "_dd.span_links"

_links = msgspec.json.Decoder(list[Any])


class SpanPointer(msgspec.Struct, frozen=True, gc=False):
    """`kind` is the vendor's name for what is pointed to, `hash` says which one: `hash_components` of what identifies it."""

    kind: str
    hash: str


def hash_components(*components: str) -> str:
    return hashlib.sha256("|".join(components).encode("utf-8", "replace")).hexdigest()[:32]


def attach_pointers(span: Span, pointers: Sequence[SpanPointer]) -> None:
    """Add `pointers` to the links in the span's tags, which stay unless they are no list."""
    if not pointers:
        return
    try:
        links = _links.decode(span.meta.get(links_key, "[]"))
    except (msgspec.DecodeError, ValueError, RecursionError):
        links = []
    links += [_link(pointer) for pointer in pointers]
    span.meta[links_key] = msgspec.json.encode(links).decode()


def _link(pointer: SpanPointer) -> dict[str, Any]:
    return {
        "trace_id": 0,
        "trace_id_high": 0,
        "span_id": 0,
        "attributes": {
            "link.kind": "span-pointer",
            "ptr.dir": "u",
            "ptr.hash": pointer.hash,
            "ptr.kind": pointer.kind,
        },
        "tracestate": "",
        "flags": 0,
    }
