"""The traces of a request, part by part, as the decoders give them out. Pure.

Rule of this file: a trace is one part, unless it is so long that its spans would take too much memory at once. Then it is
cut, and read twice: what is decided for the whole of a trace, its outline, has to be known before its first part is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final

import msgspec

from .messagepack import announced, check_count, elements_of, open_array
from .process import Outliner, TraceOutline
from .scan import has_more_tokens
from .span import Span

max_part_bytes: Final = 4 << 20
"""A trace longer than this is worked on in parts. Spans take six to ten times their encoded size while they are objects."""

max_span_bytes: Final = 10 << 20
"""A larger span could not be sent in any payload that the intake takes, so it does not become an object."""

# Many small values take fifty times their encoded size while they are objects, which a large span cannot be allowed. What
# makes a span large is long text, so large ones have few values for their size.
large_span_bytes: Final = 256 << 10
max_values: Final = 16_384

Cut = tuple[list[msgspec.Raw], int]
"""Some spans of a trace, still encoded, and their size in bytes."""


class ReadSpans(msgspec.Struct, frozen=True, gc=False):
    """`malformed` counts the spans that could not be decoded."""

    spans: list[Span]
    malformed: int = 0


class PayloadFields(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the newer forms tell of the sender in the body. Empty: not told."""

    container_id: str = ""
    language: str = ""
    language_version: str = ""
    tracer_version: str = ""
    runtime_id: str = ""
    env: str = ""
    hostname: str = ""
    app_version: str = ""
    tags: dict[str, str] = {}


class TracePart(msgspec.Struct, frozen=True, gc=False):
    """The spans of one trace, or of a part of it when it is very long: then each part has the same `outline` of the whole.

    `size` is their encoded size in bytes. `too_large` counts spans above `max_span_bytes`, which were not decoded.
    `tags` are the chunk's own, and `was_dropped` tells that its tracer had left it out by sampling. A part of nothing stands
    for `looked_at` bytes of a long trace that were read for its outline: a moment for others to have their turn.
    """

    read: ReadSpans
    size: int
    too_large: int = 0
    outline: TraceOutline | None = None
    looked_at: int = 0
    tags: dict[str, str] = {}
    was_dropped: bool = False

    @property
    def count(self) -> int:
        """How many spans came, those included that were not decoded."""
        return len(self.read.spans) + self.read.malformed + self.too_large


ReadPart = Callable[[list[msgspec.Raw], int], TracePart]
"""What decodes one `Cut`."""


class Traces:
    """The parts of a request's traces, once each; `left` is how many spans those have that were not given out."""

    __slots__ = ("_parts", "left")

    def __init__(self, parts: Iterator[TracePart], spans: int) -> None:
        self._parts = parts
        self.left = spans

    def __iter__(self) -> Traces:
        return self

    def __next__(self) -> TracePart:
        part = next(self._parts)
        self.left -= part.count
        return part


class OpenedPayload(msgspec.Struct, frozen=True, gc=False):
    """A request of one of the newer forms: what it says of its sender, and its traces, decoded as they are iterated over."""

    fields: PayloadFields
    parts: Traces


def open_traces(traces: msgspec.Raw | bytes, read: Callable[[list[msgspec.Raw]], ReadSpans]) -> Traces:
    """Open an array of arrays of spans. `read` decodes spans one by one and raises nothing for those it cannot.

    The outer forms are checked before this returns: reading the result raises nothing.
    """
    opened = open_array(traces, "traces")
    spans = sum(announced(trace, "a trace") for trace in opened)
    check_count(spans, traces, "spans")
    return Traces(_read_traces(opened, read), spans)


def _read_traces(traces: list[msgspec.Raw], read: Callable[[list[msgspec.Raw]], ReadSpans]) -> Iterator[TracePart]:
    for trace in traces:
        yield from read_trace(trace, read)


def read_trace(trace: msgspec.Raw, read: Callable[[list[msgspec.Raw]], ReadSpans]) -> Iterator[TracePart]:
    """The parts of one array of spans that is known to be one."""
    parts = cut_trace(trace)
    if len(parts) == 1:
        yield _read_part(*parts[0], read)
    else:
        yield from read_cut(parts, lambda elements, size: _read_part(elements, size, read))


def _read_part(elements: list[msgspec.Raw], size: int, read: Callable[[list[msgspec.Raw]], ReadSpans]) -> TracePart:
    if size > max_span_bytes and len(elements) == 1:
        return TracePart(ReadSpans([]), size, too_large=1)
    sound = elements if size <= large_span_bytes else [each for each in elements if not is_dense(each)]
    found = read(sound)
    if len(sound) < len(elements):
        found = ReadSpans(found.spans, found.malformed + len(elements) - len(sound))
    return TracePart(found, size)


def cut_trace(trace: msgspec.Raw) -> list[Cut]:
    """As `cut`, of an array of spans that is known to be one."""
    elements = elements_of(trace)
    size = len(memoryview(trace))
    return [(elements, size)] if size <= max_part_bytes else cut(elements)


def cut(elements: list[msgspec.Raw]) -> list[Cut]:
    """Runs of spans of at most `max_part_bytes` together, and their size; a span that is larger is alone."""
    parts: list[Cut] = []
    part: list[msgspec.Raw] = []
    size = 0
    for element in elements:
        length = len(memoryview(element))
        if part and size + length > max_part_bytes:
            parts.append((part, size))
            part, size = [], 0
        part.append(element)
        size += length
    parts.append((part, size))
    return parts


def read_cut(parts: list[Cut], read: ReadPart) -> Iterator[TracePart]:
    """The parts of a trace; when they are several, each is read twice, since all of them decide for each."""
    outline = None
    if len(parts) > 1:
        outline = yield from look_ahead(parts, lambda: read)
    for elements, size in parts:
        yield with_outline(read(elements, size), outline)


def look_ahead(parts: list[Cut], begin: Callable[[], ReadPart]) -> Generator[TracePart, None, TraceOutline | None]:
    """Read all parts for their outline, which is returned; what is given out is empty. `begin` is called for each reading.

    A second one, as far as the root, takes place when no span is without a parent: which one is the root is known only when
    all were seen, and to keep all that may be it would take too much memory.
    """
    outliner = Outliner()
    read = begin()
    for elements, size in parts:
        outliner.look(read(elements, size).read.spans)
        yield TracePart(ReadSpans([]), 0, looked_at=size)
    read = begin()
    for elements, size in parts:
        if outliner.has_root:
            break
        outliner.take_root(read(elements, size).read.spans)
        yield TracePart(ReadSpans([]), 0, looked_at=size)
    return outliner.finish()


def with_outline(part: TracePart, outline: TraceOutline | None) -> TracePart:
    return part if outline is None else msgspec.structs.replace(part, outline=outline)


def is_dense(span: msgspec.Raw) -> bool:
    """Whether it is large, and made of many small values."""
    return len(memoryview(span)) > large_span_bytes and has_more_tokens(bytes(span), max_values)
