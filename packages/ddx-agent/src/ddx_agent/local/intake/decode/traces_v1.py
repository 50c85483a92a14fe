"""Second-generation tracer payloads turned into the spans they mean: indices resolved, attributes sorted by their type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ..items import Span, SpanEvent, SpanLink, TracePayload
from .errors import DecodeError
from .trace_messages_v1 import AnyValue, SpanV1, TraceChunkV1, TracerPayloadV1

_kinds = ("", "internal", "server", "client", "producer", "consumer")


def spans_v1(tracer: TracerPayloadV1, agent: TracePayload, *, first_chunk: int, request: int) -> list[Span]:
    strings = _Strings(tracer.strings)
    about = msgspec.structs.replace(
        agent,
        container_id=strings.at(tracer.container_id_ref),
        language=strings.at(tracer.language_name_ref),
        language_version=strings.at(tracer.language_version_ref),
        tracer_version=strings.at(tracer.tracer_version_ref),
        runtime_id=strings.at(tracer.runtime_id_ref),
        env=strings.at(tracer.env_ref),
        hostname=strings.at(tracer.hostname_ref),
        app_version=strings.at(tracer.app_version_ref),
        tags=strings.texts(tracer.attributes),
    )
    return [
        _span(span, chunk, strings, about, first_chunk + number, request)
        for number, chunk in enumerate(tracer.chunks)
        for span in chunk.spans
    ]


class _Strings:
    """The payload's table, and the attributes that refer to it."""

    def __init__(self, table: tuple[str, ...]) -> None:
        self._table = table

    def at(self, ref: int) -> str:
        if ref < len(self._table):
            return self._table[ref]
        if ref == 0:
            return ""
        raise DecodeError(f"string {ref} of a table of {len(self._table)}")

    def value(self, value: AnyValue) -> Any:
        if value.string_ref is not None:
            return self.at(value.string_ref)
        if value.array is not None:
            return [self.value(each) for each in value.array.values]
        if value.key_values is not None:
            return {self.at(pair.key_ref): self.value(pair.value) for pair in value.key_values.key_values}
        for plain in (value.boolean, value.double, value.integer, value.binary):
            if plain is not None:
                return plain
        return None

    def plain(self, attributes: Mapping[int, AnyValue]) -> dict[str, Any]:
        return {self.at(key): self.value(value) for key, value in attributes.items()}

    def texts(self, attributes: Mapping[int, AnyValue]) -> dict[str, str]:
        """Attributes where only texts are expected; anything else as its JSON."""
        plain = self.plain(attributes)
        return {key: value if isinstance(value, str) else _json(value) for key, value in plain.items()}


def _span(
    span: SpanV1, chunk: TraceChunkV1, strings: _Strings, about: TracePayload, chunk_number: int, request: int
) -> Span:
    meta: dict[str, str] = {}
    metrics: dict[str, float] = {}
    meta_struct: dict[str, bytes] = {}
    for key, value in strings.plain(span.attributes).items():
        match value:
            case str():
                meta[key] = value
            case bytes():
                meta_struct[key] = value
            case bool() | int() | float():
                if math.isfinite(value):
                    metrics[key] = float(value)
            case _:
                meta[key] = _json(value)
    if not 0 <= span.kind < len(_kinds):
        raise DecodeError(f"span kind {span.kind} is not one of 0 to {len(_kinds) - 1}")
    promoted = {
        "env": strings.at(span.env_ref),
        "version": strings.at(span.version_ref),
        "component": strings.at(span.component_ref),
        "span.kind": _kinds[span.kind],
    }
    meta.update({key: text for key, text in promoted.items() if text})
    chunk_tags = strings.texts(chunk.attributes)
    if chunk.sampling_mechanism:
        chunk_tags["_dd.p.dm"] = f"-{chunk.sampling_mechanism}"
    high, low = _trace_id(chunk.trace_id)
    return Span(
        request=request,
        payload=about,
        chunk=chunk_number,
        priority=chunk.priority,
        origin=strings.at(chunk.origin_ref),
        chunk_tags=chunk_tags,
        dropped_trace=chunk.dropped_trace,
        trace_id=low,
        trace_id_high=high,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=strings.at(span.name_ref),
        service=strings.at(span.service_ref),
        resource=strings.at(span.resource_ref),
        type=strings.at(span.type_ref),
        start_ns=span.start,
        duration_ns=span.duration,
        error=int(span.error),
        meta=meta,
        metrics=metrics,
        meta_struct=meta_struct,
        links=tuple(
            SpanLink(
                trace_id=_trace_id(link.trace_id)[1],
                trace_id_high=_trace_id(link.trace_id)[0],
                span_id=link.span_id,
                attributes=strings.plain(link.attributes),
                tracestate=strings.at(link.tracestate_ref),
                flags=link.flags,
            )
            for link in span.links
        ),
        events=tuple(
            SpanEvent(time_ns=event.time, name=strings.at(event.name_ref), attributes=strings.plain(event.attributes))
            for event in span.events
        ),
    )


def _trace_id(id_bytes: bytes) -> tuple[int, int]:
    """The upper and the lower half."""
    if len(id_bytes) != 16:
        raise DecodeError(f"a trace id of {len(id_bytes)} bytes instead of 16")
    return int.from_bytes(id_bytes[:8], "big"), int.from_bytes(id_bytes[8:], "big")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
