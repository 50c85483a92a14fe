"""Spans → their Protobuf messages, which is most of the work that a trace makes. Pure.

Spans of one kind say nearly the same: a tracer sets the same tags in the same order, and most of them to the few same values.
So spans whose tags have the same keys are of one shape, and a shape remembers the encoding of its texts taken together. Texts
that hardly repeat (URLs, ids) are found out by their number and encoded one by one, the numbers of a span by `protobuf`.
What is remembered is bounded, and forgotten altogether when it has grown too large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Final

from ddx_core.proto import traces_pb2

from .encode import encode_rest, varint
from .span import Span

max_remembered_bytes: Final = 4 << 20
max_combinations: Final = 256
many_values: Final = 32
"""Of how many values of a text, among `max_combinations`, it is taken for one that hardly repeats."""
settled_spans: Final = 20 * max_combinations
"""When so many spans came before a shape had too many combinations, they were new only now and then."""

# Field number and wire type (2, length-delimited) of the texts of every span, in the order in which they are read.
_tags: Final = (b"\x0a", b"\x12", b"\x1a", b"\x62")
_meta_tag: Final = b"\x52"
_metrics_tag: Final = b"\x5a"
_error_1: Final = b"\x48\x01"

_pack_double = Struct("<d").pack
_small: Final = tuple(varint(number) for number in range(0x80))
Texts = tuple[str, ...]


class _Shape:
    """How the spans of one shape are encoded. `read` takes the texts that repeat out of all, `varying` are the others.

    `heads` are what stands before a text: of those in meta the key, of the first four nothing.
    """

    __slots__ = ("blobs", "bytes", "cleared_at", "heads", "read", "repeating", "varying")

    def __init__(self, heads: Sequence[bytes], at: int) -> None:
        self.heads = heads
        self.cleared_at = at
        self.blobs: dict[Texts, bytes] = {}
        self.bytes = 0
        self.varying: list[tuple[int, bytes]] = []
        self.repeating = tuple(range(len(heads)))
        self.read: Callable[[Texts], Texts] = itemgetter(*self.repeating)

    def clear(self, at: int) -> None:
        """Make room for other combinations; where there were too many too soon, by telling what they come from."""
        if at - self.cleared_at < settled_spans and len(self.repeating) > 2:
            columns = zip(*self.blobs, strict=True)
            counts = {place: len(set(values)) for place, values in zip(self.repeating, columns, strict=True)}
            most = max(counts.values())
            # Two stay, so that what `read` gives is a tuple.
            worst = sorted(counts, key=lambda place: -counts[place])[: len(self.repeating) - 2]
            found = {place for place in worst if counts[place] >= min(many_values, most)}
            self.repeating = tuple(place for place in self.repeating if place not in found)
            # Another list: the one before may be in use.
            self.varying = [*self.varying, *[(place, self.heads[place]) for place in found]]
            self.read = itemgetter(*self.repeating)
        self.blobs.clear()
        self.bytes = 0
        self.cleared_at = at


class SpanEncoder:
    """Encodes the spans of many traces; what it remembers of one helps with the next."""

    def __init__(self) -> None:
        self._shapes: dict[Texts, _Shape] = {}
        self._bytes = 0
        self._spans = 0
        self._metric_heads: dict[str, bytes] = {}
        self._numbers = traces_pb2.Span()

    def encode(self, span: Span) -> bytes:
        self._spans += 1
        meta = span.meta
        keys = tuple(meta)
        shape = self._shapes.get(keys)
        if shape is None:
            shape = self._learn(keys)
        texts = (span.service, span.name, span.resource, span.type, *meta.values())
        repeating = shape.read(texts)
        varying = shape.varying  # as they are now: `_remember` may tell them anew
        blob = shape.blobs.get(repeating)
        if blob is None:
            blob = self._remember(shape, repeating)
        numbers = self._numbers
        numbers.traceID = span.trace_id
        numbers.spanID = span.span_id
        numbers.parentID = span.parent_id
        numbers.start = span.start
        numbers.duration = span.duration
        pieces = [blob, numbers.SerializeToString()]
        for place, head in varying:
            value = texts[place].encode()
            size = len(value)
            whole = len(head) + size + 1
            if head and whole < 0x80:
                pieces += (_meta_tag, _small[whole], head, _small[size], value)
            else:
                _add_text(pieces, place, head, value)
        heads = self._metric_heads
        for key, number in span.metrics.items():
            pieces.append(heads.get(key) or self._metric_head(key))
            pieces.append(_pack_double(number))
        if span.error:
            pieces.append(_error_1 if span.error == 1 else traces_pb2.Span(error=span.error).SerializeToString())
        if span.meta_struct or span.span_links or span.span_events:
            pieces.append(encode_rest(span))
        return b"".join(pieces)

    def _learn(self, keys: Texts) -> _Shape:
        heads = [b""] * len(_tags)
        for key in keys:
            encoded = key.encode()
            heads.append(b"\x0a" + varint(len(encoded)) + encoded + b"\x12")
        shape = _Shape(heads, self._spans)
        self._count(2 * sum(map(len, heads)) + 100 * len(heads) + 1000)
        self._shapes[keys] = shape
        return shape

    def _remember(self, shape: _Shape, repeating: Texts) -> bytes:
        pieces: list[bytes] = []
        for place, text in zip(shape.repeating, repeating, strict=True):
            _add_text(pieces, place, shape.heads[place], text.encode())
        blob = b"".join(pieces)
        if len(shape.blobs) >= max_combinations:
            # `repeating` was read in the old way, and is not remembered.
            self._bytes -= shape.bytes
            shape.clear(self._spans)
            return blob
        # The texts are remembered besides, each with what an object takes.
        size = 2 * len(blob) + 60 * len(repeating)
        self._count(size)
        shape.bytes += size
        shape.blobs[repeating] = blob
        return blob

    def _metric_head(self, key: str) -> bytes:
        encoded = key.encode()
        length = varint(len(encoded))
        head = b"".join((_metrics_tag, varint(len(encoded) + len(length) + 10), b"\x0a", length, encoded, b"\x11"))
        self._count(2 * len(head) + 200)
        self._metric_heads[key] = head
        return head

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > max_remembered_bytes:
            self._bytes = 0
            self._shapes.clear()
            self._metric_heads.clear()


def _add_text(pieces: list[bytes], place: int, head: bytes, value: bytes) -> None:
    length = varint(len(value))
    if head:
        pieces += (_meta_tag, varint(len(head) + len(length) + len(value)), head, length, value)
    elif value:
        pieces += (_tags[place], length, value)
