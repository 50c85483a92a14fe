"""A v0.4 span that the strict decoder refused, read field by field with the tolerance that tracers in use rely on.

Rule of this file: what is mended is listed here and nowhere else: nil for any field or map entry; bytes for a string and
broken UTF-8 in one; a whole number sent as a float; a start out of range (0, so that it becomes the time of arrival);
anything unusable as a duration (0); a span as an array of the fields in their order; metrics, `meta_struct`, links and
events entry by entry, as `attached` has it. Any other wrong type: MalformedInput, and that span alone is lost. It takes
five times as long as the strict decoder.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from ddx_core.errors import MalformedInput

from ..messagepack import describe, read_text, read_value, undecodable
from ..span import Span, max_int64
from .attached import read_binaries, read_events, read_links, read_metrics
from .numbers import unsigned, whole

_nil = Raw(b"\xc0")

K = TypeVar("K")
T = TypeVar("T")


class _Fields(msgspec.Struct):
    service: Raw = _nil
    name: Raw = _nil
    resource: Raw = _nil
    trace_id: Raw = _nil
    span_id: Raw = _nil
    parent_id: Raw = _nil
    start: Raw = _nil
    duration: Raw = _nil
    error: Raw = _nil
    meta: Raw = _nil
    metrics: Raw = _nil
    type: Raw = _nil
    meta_struct: Raw = _nil
    span_links: Raw = _nil
    span_events: Raw = _nil


class _FieldsInOrder(_Fields, array_like=True):
    pass


_map = msgspec.msgpack.Decoder(_Fields)
_array = msgspec.msgpack.Decoder(_FieldsInOrder)
_entries = msgspec.msgpack.Decoder(dict[str, Raw] | None)


def read_span(raw: Raw) -> Span:
    """Decode one span. Raises MalformedInput when it cannot be mended."""
    try:
        fields = _read_fields(raw)
        return Span(
            service=read_text(fields.service) or "",
            name=read_text(fields.name) or "",
            resource=read_text(fields.resource) or "",
            type=read_text(fields.type) or "",
            trace_id=unsigned(read_value(fields.trace_id)),
            span_id=unsigned(read_value(fields.span_id)),
            parent_id=unsigned(read_value(fields.parent_id)),
            start=start(read_value(fields.start)),
            duration=duration(read_value(fields.duration)),
            error=whole(read_value(fields.error), -(2**31), 2**31 - 1),
            meta=read_texts(fields.meta),
            metrics=read_metrics(fields.metrics),
            meta_struct=read_binaries(fields.meta_struct) or None,
            span_links=read_links(fields.span_links) or None,
            span_events=read_events(fields.span_events) or None,
        )
    except undecodable as error:
        raise MalformedInput(describe(error)) from error


def _read_fields(raw: Raw) -> _Fields:
    first = memoryview(raw)[0]
    is_array = 0x90 <= first <= 0x9F or first in (0xDC, 0xDD)
    return _array.decode(raw) if is_array else _map.decode(raw)


def start(value: Any) -> int:
    if isinstance(value, (int, float)) and not -(2**63) <= value <= max_int64:
        return 0
    return whole(value, -(2**63), max_int64)


def duration(value: Any) -> int:
    try:
        return whole(value, 0, max_int64)
    except MalformedInput:
        return 0


def read_texts(raw: Raw) -> dict[str, str]:
    texts: dict[str, str] = {}
    entries: dict[str, Raw] = _entries.decode(raw) or {}
    for key, value in entries.items():
        text = read_text(value)
        if text is not None:
            texts[key] = text
    return texts


def present(entries: dict[K, T | None] | None) -> dict[K, T]:
    """The entries of a map that are not nil; nil itself has none."""
    return {key: value for key, value in (entries or {}).items() if value is not None}
