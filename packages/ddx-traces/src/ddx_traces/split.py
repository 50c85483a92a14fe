"""A payload that an intake finds too large (413) → two, of traces or of statistics. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

import msgspec

from ddx_core.intake import Compressor, Payload, decompress
from ddx_core.proto.fields import fields_of, middle

from .encode import varint

_tracer_payloads: Final = 5
_chunks: Final = 6
_spans: Final = 3

# What tracers left out by sampling is told once.
_told_once: Final = ("Datadog-Client-Dropped-P0-Traces", "Datadog-Client-Dropped-P0-Spans")


class _Piece(msgspec.Struct, frozen=True):
    """Some spans of one trace: what stands before them in their chunk, and before that in their tracer payload."""

    tracer: bytes
    chunk: bytes
    spans: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return len(self.chunk) + sum(map(len, self.spans))


def split_traces(payload: Payload, compressor: Compressor) -> list[Payload]:
    """Between traces where there are several, else within the one; nothing for a single span, or for what is none of ours."""
    try:
        head, pieces = _take_apart(decompress(payload.body, payload.encoding))
    except ValueError:
        return []
    if len(pieces) == 1:
        pieces = _halve(pieces[0])
    if len(pieces) < 2:
        return []
    count = middle([piece.size for piece in pieces])
    rest = tuple(each for each in payload.headers if each[0] not in _told_once)
    halves: list[Payload] = []
    for half, headers in ((pieces[:count], payload.headers), (pieces[count:], rest)):
        body, encoding = compressor.compress(head + b"".join(_assemble(half)))
        items = sum(len(piece.spans) for piece in half)
        halves.append(msgspec.structs.replace(payload, body=body, encoding=encoding, items=items, headers=headers))
    return halves


def split_stats(payload: Payload, compressor: Compressor) -> list[Payload]:
    """Between the statistics of tracers; nothing for those of one. Who has no groups tells nothing, and goes no further."""
    try:
        document = _document.decode(decompress(payload.body, payload.encoding))
        stats = [(each, groups) for each in _list.decode(document["Stats"]) if (groups := _count_groups(each))]
    except (ValueError, KeyError):
        return []
    if len(stats) < 2:
        return []
    count = middle([len(memoryview(each)) for each, _ in stats])
    halves: list[Payload] = []
    for half in (stats[:count], stats[count:]):
        document["Stats"] = msgspec.Raw(msgspec.msgpack.encode([each for each, _ in half]))
        body, encoding = compressor.compress(msgspec.msgpack.encode(document))
        items = sum(groups for _, groups in half)
        halves.append(msgspec.structs.replace(payload, body=body, encoding=encoding, items=items))
    return halves


class _Bucket(msgspec.Struct):
    groups: list[msgspec.Raw] = msgspec.field(name="Stats")


class _ClientStats(msgspec.Struct):
    buckets: list[_Bucket] = msgspec.field(name="Stats")


_document = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_list = msgspec.msgpack.Decoder(list[msgspec.Raw])
_stats = msgspec.msgpack.Decoder(_ClientStats)


def _count_groups(stats: msgspec.Raw) -> int:
    return sum(len(bucket.groups) for bucket in _stats.decode(stats).buckets)


def _take_apart(body: bytes) -> tuple[bytes, list[_Piece]]:
    head: list[bytes] = []
    pieces: list[_Piece] = []
    for number, content, field in fields_of(body):
        if number != _tracer_payloads:
            head.append(field)
            continue
        inner = fields_of(content)
        tracer = b"".join(field for number, _, field in inner if number != _chunks)
        for number, chunk, _ in inner:
            if number == _chunks:
                parts = fields_of(chunk)
                before = b"".join(part for number, _, part in parts if number != _spans)
                pieces.append(_Piece(tracer, before, tuple(part for number, _, part in parts if number == _spans)))
    return b"".join(head), pieces


def _halve(piece: _Piece) -> list[_Piece]:
    if len(piece.spans) < 2:
        return []
    count = middle([len(span) for span in piece.spans])
    return [_Piece(piece.tracer, piece.chunk, spans) for spans in (piece.spans[:count], piece.spans[count:])]


def _assemble(pieces: Iterable[_Piece]) -> Iterable[bytes]:
    """Chunks of one tracer payload that follow each other are in one again."""
    for tracer, group in groupby(pieces, key=lambda piece: piece.tracer):
        chunks = b"".join(_field(_chunks, piece.chunk + b"".join(piece.spans)) for piece in group)
        yield _field(_tracer_payloads, tracer + chunks)


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(content)) + content
