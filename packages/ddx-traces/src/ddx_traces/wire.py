"""MessagePack from tracers, taken apart piece by piece, so that what a request makes us hold stays in proportion to its size.

Rules of this file: an array is opened one level at a time, its elements staying bytes until their turn comes; an array that
announces more elements than its bytes can sensibly hold is refused before a list is made of them. Whatever the bytes,
only MalformedInput is raised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, TypeVar

import msgspec

from ddx_core.errors import MalformedInput

from .process import Outliner, TraceOutline
from .scan import has_more_tokens
from .span import Span

undecodable: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What msgspec raises for bytes that are not what they should be: broken UTF-8 and impossible times are ValueErrors."""

# No span takes fewer bytes: twelve fields of one byte in v0.5, two ids by name in v0.4. Each element takes some 80 bytes of
# memory, be it one byte long.
bytes_per_element: Final = 12
free_elements: Final = 1024
max_part_bytes: Final = 4 << 20
"""A trace longer than this is worked on in parts. Spans take six to ten times their encoded size while they are objects."""

max_span_bytes: Final = 10 << 20
"""A larger span could not be sent in any payload that the intake takes, so it does not become an object."""

# Many small values take fifty times their encoded size while they are objects, which a large span cannot be allowed. What
# makes a span large is long text, so large ones have few values for their size.
large_span_bytes: Final = 256 << 10
max_values: Final = 16_384

_elements = msgspec.msgpack.Decoder(list[msgspec.Raw])
_anything = msgspec.msgpack.Decoder()
_trailing: Final = re.compile(r"trailing characters \(byte (\d+)\)")

T = TypeVar("T")

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
        self.left -= len(part.read.spans) + part.read.malformed + part.too_large
        return part


class OpenedPayload(msgspec.Struct, frozen=True, gc=False):
    """A request of one of the newer forms: what it says of its sender, and its traces, decoded as they are iterated over."""

    fields: PayloadFields
    parts: Traces


def open_array(raw: msgspec.Raw | bytes, what: str) -> list[msgspec.Raw]:
    """The elements of an array, still encoded; everything in them is known to be well-formed then."""
    check_count(announced(raw, what), raw, what)
    return decode_leading(_elements, raw, what)


def decode_leading(decoder: msgspec.msgpack.Decoder[T], raw: msgspec.Raw | bytes, what: str) -> T:
    """The value that stands first in `raw`; bytes behind it are not looked at."""
    try:
        try:
            return decoder.decode(raw)
        except msgspec.DecodeError as error:
            # Only the decoder knows where the value ends, and it says so here alone.
            found = _trailing.search(str(error))
            if found is None:
                raise
            return decoder.decode(memoryview(raw)[: int(found[1])])
    except undecodable as error:
        raise MalformedInput(f"{what}: {describe(error)}") from error


def announced(raw: msgspec.Raw | bytes, what: str) -> int:
    """How many elements an array says it has. Raises MalformedInput when `raw` is no array."""
    view = memoryview(raw)
    first = view[0] if view else 0xC0
    if 0x90 <= first <= 0x9F:
        return first & 0x0F
    if first == 0xDC and len(view) >= 3:
        return int.from_bytes(view[1:3], "big")
    if first == 0xDD and len(view) >= 5:
        return int.from_bytes(view[1:5], "big")
    raise MalformedInput(f"{what}: an array is expected")


def announced_entries(raw: msgspec.Raw | bytes, what: str) -> int:
    """How many entries a map says it has. Raises MalformedInput when `raw` is no map."""
    view = memoryview(raw)
    first = view[0] if view else 0xC0
    if 0x80 <= first <= 0x8F:
        return first & 0x0F
    if first == 0xDE and len(view) >= 3:
        return int.from_bytes(view[1:3], "big")
    if first == 0xDF and len(view) >= 5:
        return int.from_bytes(view[1:5], "big")
    raise MalformedInput(f"{what}: a map is expected")


def check_count(count: int, raw: msgspec.Raw | bytes, what: str) -> None:
    """Refuse more elements than the bytes can sensibly hold."""
    size = len(memoryview(raw))
    if count > free_elements + size // bytes_per_element:
        raise MalformedInput(f"{what}: {count} elements in {size} bytes")


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
    elements = _elements.decode(trace)
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


def describe(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def read_value(raw: msgspec.Raw) -> Any:
    """Any value, strings that are not UTF-8 excepted."""
    try:
        return _anything.decode(raw)
    except undecodable as error:
        raise MalformedInput(describe(error)) from error


def read_text(raw: msgspec.Raw) -> str | None:
    """A string, also where bytes were sent for it or its UTF-8 is broken (mended with U+FFFD); None for nil."""
    try:
        value = _anything.decode(raw)
    except UnicodeDecodeError:
        value = _payload(bytes(raw))
    except undecodable as error:
        raise MalformedInput(describe(error)) from error
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, str):
        return value
    raise MalformedInput(f"a string is expected, not {type(value).__name__}")


def _payload(encoded: bytes) -> bytes:
    """The content of a MessagePack string of any length form."""
    header = {0xD9: 2, 0xDA: 3, 0xDB: 5}.get(encoded[0], 1)
    return encoded[header:]


def without_nil(value: Any) -> Any:
    """The same value without the entries of maps, at any depth, that are nil."""
    if isinstance(value, dict):
        return {key: without_nil(each) for key, each in value.items() if each is not None}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [without_nil(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value
