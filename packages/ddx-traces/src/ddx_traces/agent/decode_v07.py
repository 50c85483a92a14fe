"""v0.7 traces: a MessagePack map that describes the tracer, with chunks of the spans of v0.4. Pure.

The same rule as for v0.4: what is wrong inside a span costs that span, what is wrong around the spans refuses the request
before any of it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw

from ddx_core.errors import MalformedInput

from ..messagepack import announced, check_count, decode_leading, describe, open_array, read_text, undecodable
from ..parts import OpenedPayload, PayloadFields, TracePart, Traces, read_trace
from ..span import priority_unset
from .chunk import ChunkFields, tell
from .decode_v04 import read_spans
from .lenient import read_texts
from .numbers import whole

_nil: Final = Raw(b"\xc0")
_no_spans: Final = Raw(b"\x90")


class _Payload(msgspec.Struct):
    container_id: Raw = _nil
    language_name: Raw = _nil
    language_version: Raw = _nil
    tracer_version: Raw = _nil
    runtime_id: Raw = _nil
    chunks: Raw = _nil
    tags: Raw = _nil
    env: Raw = _nil
    hostname: Raw = _nil
    app_version: Raw = _nil


class _Chunk(msgspec.Struct):
    priority: int | float | None = None
    origin: Raw = _nil
    spans: Raw = _no_spans
    tags: Raw = _nil
    dropped_trace: Raw = _nil


_payload = msgspec.msgpack.Decoder(_Payload)
_chunk = msgspec.msgpack.Decoder(_Chunk)


def decode_v07(body: bytes) -> OpenedPayload:
    """A request's tracer, and its traces, decoded as they are iterated over. Raises MalformedInput at once or not at all."""
    told = decode_leading(_payload, body, "the request")
    tags = _texts(told.tags)
    fields = PayloadFields(
        container_id=read_text(told.container_id) or "",
        language=read_text(told.language_name) or "",
        language_version=read_text(told.language_version) or "",
        tracer_version=read_text(told.tracer_version) or "",
        runtime_id=read_text(told.runtime_id) or "",
        env=read_text(told.env) or "",
        hostname=read_text(told.hostname) or "",
        app_version=read_text(told.app_version) or "",
        tags=tags,
    )
    opened = [] if bytes(told.chunks) == b"\xc0" else open_array(told.chunks, "chunks")
    chunks = [_open(raw, tags) for raw in opened]
    count = sum(announced(spans, "the spans of a chunk") for _, spans in chunks)
    check_count(count, body, "spans")
    return OpenedPayload(fields, Traces(_read(chunks), count))


def _open(raw: Raw, common: dict[str, str]) -> tuple[ChunkFields, Raw]:
    chunk = decode_leading(_chunk, raw, "a chunk")
    return (
        ChunkFields(
            priority=priority_unset if chunk.priority is None else whole(chunk.priority, -(2**31), 2**31 - 1),
            origin=read_text(chunk.origin) or "",
            tags=_texts(chunk.tags),
            common=common,
            was_dropped=_truth(chunk.dropped_trace),
        ),
        _no_spans if bytes(chunk.spans) == b"\xc0" else chunk.spans,
    )


def _read(chunks: list[tuple[ChunkFields, Raw]]) -> Iterator[TracePart]:
    for fields, spans in chunks:
        for part in read_trace(spans, read_spans):
            yield tell(part, fields)


def _texts(raw: Raw) -> dict[str, str]:
    try:
        return read_texts(raw)
    except undecodable as error:
        raise MalformedInput(f"tags: {describe(error)}") from error


def _truth(raw: Raw) -> bool:
    return bytes(raw) in (b"\xc3", b"\x01")
