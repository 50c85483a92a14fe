"""v0.3 and v0.4 traces as JSON: the same arrays and maps, from tracers without MessagePack. Pure.

The same rule as for MessagePack: what is wrong inside a span costs that span. Few tracers send JSON, so a span is simply
written anew as MessagePack and goes the common way. What other writers of JSON allow themselves is mended once the strict
decoder has refused it: halves of surrogate pairs, bytes that are not UTF-8, numbers that fit no 64 bits.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Raw

from ddx_core.errors import MalformedInput

from ..messagepack import describe, free_elements, undecodable
from ..parts import TracePart, Traces, cut, is_dense, read_cut
from .body import BodyTooLarge
from .decode_v04 import read_spans

max_json_bytes: Final = 10 << 20
# JSON does not announce how many values an array has, but there is a comma before each but the first. No field of a span
# takes fewer bytes than this.
bytes_per_comma: Final = 6

_traces = msgspec.json.Decoder(list[list[Raw]] | None)
_nil: Final = Raw(b"\xc0")
# An escape begins where a run of backslashes is odd. A pair is matched as a whole; group 1 is a half that stands alone.
_surrogates: Final = re.compile(
    rb"\\(?<!\\\\)(?:\\\\)*+u"
    rb"(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|([dD][89a-fA-F][0-9a-fA-F]{2}))"
)


def looks_like_json(body: bytes) -> bool:
    """No MessagePack array begins with any of these bytes."""
    return body[:64].lstrip()[:1] == b"["


def decode_json(body: bytes) -> Traces:
    """The traces of a request, decoded as they are iterated over. Raises MalformedInput at once or not at all."""
    if len(body) > max_json_bytes:
        raise BodyTooLarge(f"{len(body)} bytes of JSON: more than {max_json_bytes} are taken as MessagePack only")
    if body.count(b",") > free_elements + len(body) // bytes_per_comma:
        raise MalformedInput("more values than traces of this size can have")
    try:
        try:
            traces = _traces.decode(body)
        except msgspec.DecodeError:
            traces = _traces.decode(_without_lone_surrogates(body))
    except undecodable as error:
        raise MalformedInput(f"JSON: {describe(error)}") from error
    return Traces(_read(traces or []), sum(map(len, traces or [])))


def _read(traces: list[list[Raw]]) -> Iterator[TracePart]:
    for trace in traces:
        yield from read_cut(cut(trace), _read_part)


def _read_part(elements: list[Raw], size: int) -> TracePart:
    return TracePart(read_spans([_transcoded(each) for each in elements]), size)


def _without_lone_surrogates(body: bytes) -> bytes:
    """With U+FFFD for each: JavaScript writes half a pair where it has cut an emoji in two."""
    mended = bytearray(body)
    for found in _surrogates.finditer(body):
        if found[1]:
            mended[found.start(1) : found.end(1)] = b"fffd"
    return bytes(mended)


def _transcoded(element: Raw) -> Raw:
    """nil, which no decoder takes for a span, where MessagePack cannot say the same."""
    try:
        try:
            encoded = _encoded(msgspec.json.decode(element))
        except (UnicodeDecodeError, OverflowError, msgspec.ValidationError):
            encoded = _encoded(json.loads(bytes(element).decode("utf-8", "replace"), parse_int=_number))
    except (*undecodable, TypeError, AttributeError):
        return _nil
    return _nil if is_dense(encoded) else encoded


def _number(digits: str) -> int | float:
    """MessagePack has no integers of more than 64 bits: they become the nearest float, which may be infinity."""
    if len(digits) <= 20 and -(2**63) <= (number := int(digits)) < 2**64:
        return number
    return float(digits)


def _encoded(span: Any) -> Raw:
    binaries: Any = span.get("meta_struct")
    if binaries:
        span["meta_struct"] = _binaries(binaries) or None
    return Raw(msgspec.msgpack.encode(span))


def _binaries(entries: Any) -> dict[str, Any]:
    """Without those that are not what they should be: they cost themselves alone."""
    read: dict[str, Any] = {}
    for key, value in entries.items() if isinstance(entries, dict) else ():  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, str):
            with suppress(ValueError):  # of which binascii's own is a kind
                read[key] = binascii.a2b_base64(value, strict_mode=True)
        else:
            read[key] = value
    return read
