"""v1.0 traces: MessagePack maps with numbers for keys, every string written once and referred to afterwards. Pure.

Rules of this file:
- A string gets its number where it is written in full, in the order of the bytes; so everything is read in that order, and
  of what is skipped or refused the strings are counted all the same.
- What is wrong inside a span costs that span, what is wrong around the spans refuses the request before any of it was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from ddx_core.errors import MalformedInput

from ..messagepack import announced, announced_entries, check_count, decode_leading, describe, open_array, undecodable
from ..parts import (
    OpenedPayload,
    PayloadFields,
    ReadPart,
    ReadSpans,
    TracePart,
    Traces,
    cut_trace,
    is_dense,
    look_ahead,
    max_span_bytes,
    with_outline,
)
from ..scan import all_strings, mend_strings
from ..span import Span, priority_unset
from .chunk import ChunkFields, as_texts, tell
from .numbers import whole
from .strings_v1 import Strings, TooManyStrings
from .values_v1 import read_attributes, read_span, sort_attributes

T = TypeVar("T")

most_keys: Final = 1000
"""Far more than a request or a chunk has fields."""

_payload_texts: Final = {
    2: "container_id",
    3: "language",
    4: "language_version",
    5: "tracer_version",
    6: "runtime_id",
    7: "env",
    8: "hostname",
    9: "app_version",
}
_payload_attributes: Final = 10
_payload_chunks: Final = 11
_priority: Final = 1
_origin: Final = 2
_chunk_attributes: Final = 3
_spans: Final = 4
_dropped: Final = 5
_trace_id: Final = 6
_mechanism: Final = 7

_map = msgspec.msgpack.Decoder(dict[int, Raw])
_value = msgspec.msgpack.Decoder()
_bytes = msgspec.msgpack.Decoder(bytes)
_no_spans: Final = Raw(b"\x90")
_no_attributes: Final[tuple[dict[str, str], dict[str, float]]] = ({}, {})


class _Chunk(msgspec.Struct, frozen=True, gc=False):
    """The fields `before` its spans and `behind` them are in the order of the bytes; the trace id is known."""

    before: list[tuple[int, Raw]]
    spans: Raw
    behind: list[tuple[int, Raw]]
    trace_id: bytes


def decode_v1(body: bytes) -> OpenedPayload:
    """A request's tracer, and its traces, decoded as they are iterated over. Raises MalformedInput at once or not at all."""
    strings = now = Strings(len(body))
    told: dict[str, str] = {}
    common = _no_attributes
    chunks: list[_Chunk] = []
    count = 0
    entries = _open_map(body, "the request")
    for number, (key, raw) in enumerate(entries.items(), 1):
        if key in _payload_texts:
            told[_payload_texts[key]] = _text(raw, now)
        elif key == _payload_attributes:
            common = _attributes(raw, now)
        elif key != _payload_chunks:
            now.skip(all_strings(bytes(raw)))
        else:
            chunks = [_open_chunk(each) for each in open_array(raw, "chunks")]
            count = sum(announced(chunk.spans, "spans") for chunk in chunks)
            check_count(count, raw, "spans")
            if number < len(entries):
                # No tracer writes anything behind the chunks. Whoever does refers to the strings of all of them.
                now = strings.copy()
                now.skip(all_strings(bytes(raw)))
    fields = PayloadFields(**told, tags=as_texts(*common))
    return OpenedPayload(fields, Traces(_read(chunks, strings, common), count))


def _open_chunk(raw: Raw) -> _Chunk:
    entries = _open_map(raw, "a chunk")
    trace_id = _decode(_bytes, entries.get(_trace_id, Raw(b"\xc4\x00")), "a chunk's trace id")
    if len(trace_id) != 16:
        raise MalformedInput(f"a chunk: a trace id has 16 bytes, not {len(trace_id)}")
    listed = list(entries.items())
    place = list(entries).index(_spans) if _spans in entries else len(listed)
    return _Chunk(listed[:place], entries.get(_spans, _no_spans), listed[place + 1 :], trace_id)


def _open_map(raw: Raw | bytes, what: str) -> dict[int, Raw]:
    count = announced_entries(raw, what)
    if count > most_keys:
        raise MalformedInput(f"{what}: a map of {count} entries")
    entries = decode_leading(_map, raw, what)
    if len(entries) != count:
        # The strings of the entry that was overwritten would be missing.
        raise MalformedInput(f"{what}: a key is there twice")
    return entries


def _read(
    chunks: list[_Chunk], strings: Strings, common: tuple[dict[str, str], dict[str, float]]
) -> Iterator[TracePart]:
    for chunk in chunks:
        yield from _read_chunk(chunk, strings, common)


def _read_chunk(
    chunk: _Chunk, strings: Strings, common: tuple[dict[str, str], dict[str, float]]
) -> Iterator[TracePart]:
    """Its spans are given out once the whole chunk has been read, or the fields behind them would come too late."""
    fields = ChunkFields(upper_id=int.from_bytes(chunk.trace_id[:8], "big"), common=common[0], common_numbers=common[1])
    trace_id = int.from_bytes(chunk.trace_id[8:], "big")
    for key, raw in chunk.before:
        _read_field(key, raw, strings, fields)
    parts = cut_trace(chunk.spans)
    outline = None
    if len(parts) > 1:
        copies: list[Strings] = []

        def begin() -> ReadPart:
            copies.append(strings.copy())
            return partial(_read_part, strings=copies[-1], trace_id=trace_id)

        outline = yield from look_ahead(parts, begin)
        for key, raw in chunk.behind:
            _read_field(key, raw, copies[0], fields)
        copies.clear()
    waiting: TracePart | None = None
    for elements, size in parts:
        if waiting is not None:
            yield tell(waiting, fields)
        waiting = with_outline(_read_part(elements, size, strings, trace_id), outline)
    for key, raw in chunk.behind:
        _read_field(key, raw, strings, fields)
    if waiting is not None:
        yield tell(waiting, fields)


def _read_field(key: int, raw: Raw, strings: Strings, fields: ChunkFields) -> None:
    """Whatever is wrong with one costs the value alone: spans of other chunks may have been taken by now."""
    if key == _priority:
        fields.priority = _number(raw, -(2**31), 2**31 - 1, priority_unset)
    elif key == _mechanism:
        fields.mechanism = _number(raw, 0, 2**32 - 1, None)
    elif key == _dropped:
        fields.was_dropped = _optional(_truth, raw, strings, False)
    elif key == _origin:
        fields.origin = _optional(_text, raw, strings, "")
    elif key == _chunk_attributes:
        fields.tags, fields.numbers = _optional(_attributes, raw, strings, _no_attributes)
    else:
        _skip(raw, strings)


def _read_part(elements: list[Raw], size: int, strings: Strings, trace_id: int) -> TracePart:
    if size > max_span_bytes and len(elements) == 1:
        _skip(elements[0], strings)
        return TracePart(ReadSpans([]), size, too_large=1)
    spans: list[Span] = []
    malformed = 0
    for element in elements:
        if strings.are_lost:
            malformed += 1
            continue
        known = strings.count()
        try:
            spans.append(read_span(_span_map(element), strings, trace_id))
        except TooManyStrings:
            malformed += 1
        except (MalformedInput, RecursionError):
            malformed += 1
            strings.forget(known)
            _skip(element, strings)
    return TracePart(ReadSpans(spans, malformed), size)


def _span_map(raw: Raw) -> dict[Any, Any]:
    count = announced_entries(raw, "a span")
    if is_dense(raw):
        raise MalformedInput("a span: too many values")
    entries: Any = _any(raw)
    if len(entries) != count:
        raise MalformedInput("a span: a key is there twice")
    return entries


def _any(raw: Raw) -> Any:
    try:
        return _value.decode(raw)
    except UnicodeDecodeError:
        return _decode(_value, mend_strings(bytes(raw)), "a value")
    except undecodable as error:
        raise MalformedInput(describe(error)) from error


def _truth(raw: Raw, strings: Strings) -> bool:
    value = _any(raw)
    if type(value) is not bool and value is not None:
        raise MalformedInput("a truth value is expected")
    return value is True


def _text(raw: Raw, strings: Strings) -> str:
    return strings.text(_any(raw))


def _attributes(raw: Raw, strings: Strings) -> tuple[dict[str, str], dict[str, float]]:
    try:
        meta, metrics = sort_attributes(read_attributes(_any(raw), strings))
    except RecursionError:
        raise MalformedInput("attributes: nested too deeply") from None
    # Go's tracer repeats the root's service there, as a tag like any other.
    meta.pop("service", None)
    return meta, metrics


def _optional(read: Callable[[Raw, Strings], T], raw: Raw, strings: Strings, otherwise: T) -> T:
    known = strings.count()
    try:
        return read(raw, strings)
    except TooManyStrings:
        return otherwise
    except (MalformedInput, RecursionError):
        strings.forget(known)
        _skip(raw, strings)
        return otherwise


def _skip(raw: Raw, strings: Strings) -> None:
    with suppress(TooManyStrings):  # whoever reads on will find out
        strings.skip(all_strings(bytes(raw)))


def _number(raw: Raw, least: int, most: int, otherwise: T) -> int | T:
    try:
        value = _any(raw)
        return otherwise if value is None else whole(value, least, most)
    except MalformedInput:
        return otherwise


def _decode(decoder: msgspec.msgpack.Decoder[T], raw: Raw | bytes, what: str) -> T:
    try:
        return decoder.decode(raw)
    except undecodable as error:
        raise MalformedInput(f"{what}: {describe(error)}") from error
