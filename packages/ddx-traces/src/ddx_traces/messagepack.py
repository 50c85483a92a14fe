"""MessagePack from tracers, opened so that what a request makes us hold stays in proportion to its size. Pure.

Rules of this file: an array is opened one level at a time, its elements staying bytes until their turn comes; an array that
announces more elements than its bytes can sensibly hold is refused before a list is made of them. Whatever the bytes,
only MalformedInput is raised.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from ddx_core.errors import MalformedInput

undecodable: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What msgspec raises for bytes that are not what they should be: broken UTF-8 and impossible times are ValueErrors."""

# No span takes fewer bytes: twelve fields of one byte in v0.5, two ids by name in v0.4. Each element takes some 80 bytes of
# memory, be it one byte long.
bytes_per_element: Final = 12
free_elements: Final = 1024

_elements = msgspec.msgpack.Decoder(list[msgspec.Raw])
_anything = msgspec.msgpack.Decoder()
_trailing: Final = re.compile(r"trailing characters \(byte (\d+)\)")

T = TypeVar("T")


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


def elements_of(array: msgspec.Raw) -> list[msgspec.Raw]:
    """The elements of what is known to be an array, and to announce no more than its bytes can hold."""
    return _elements.decode(array)


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
