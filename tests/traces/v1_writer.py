"""Writes v1.0 requests for tests, as a tracer does: each string in full once, then by number. Shares nothing with the reader."""

from __future__ import annotations

from typing import Any, cast

import msgspec

pack = msgspec.msgpack.encode


class V1Writer:
    def __init__(self) -> None:
        self._numbers = {"": 0}
        self._pieces: list[bytes] = []

    def text(self, value: str) -> bytes:
        if value in self._numbers:
            return pack(self._numbers[value])
        self._numbers[value] = len(self._numbers)
        return pack(value)

    def attributes(self, values: dict[str, Any]) -> bytes:
        pieces = [_array(3 * len(values))]
        for key, value in values.items():
            pieces += (self.text(key), self.value(value))
        return b"".join(pieces)

    def value(self, value: Any) -> bytes:
        match value:
            case str():
                return pack(1) + self.text(value)
            case bool():
                return pack(2) + pack(value)
            case float():
                return pack(3) + pack(value)
            case int():
                return pack(4) + pack(value)
            case bytes():
                return pack(5) + pack(value)
            case list():
                listed = cast(list[Any], value)
                return pack(6) + _array(2 * len(listed)) + b"".join([self.value(each) for each in listed])
            case dict():
                return pack(7) + self.attributes(value)  # pyright: ignore[reportUnknownArgumentType]
            case _:
                raise TypeError(value)

    def span(self, fields: dict[int, Any]) -> bytes:
        """`fields` by number; those of strings, attributes, links and events as what they mean."""
        pieces = [_map(len(fields))]
        for key, value in fields.items():
            pieces.append(pack(key))
            if key in (1, 2, 3, 10, 13, 14, 15):
                pieces.append(self.text(value))
            elif key == 9:
                pieces.append(self.attributes(value))
            elif key in (11, 12):
                pieces.append(_array(len(value)))
                pieces += [self._part(each, text_key=4 if key == 11 else 2) for each in value]
            else:
                pieces.append(pack(value))
        return b"".join(pieces)

    def _part(self, fields: dict[int, Any], *, text_key: int) -> bytes:
        pieces = [_map(len(fields))]
        for key, value in fields.items():
            pieces.append(pack(key))
            pieces.append(self.attributes(value) if key == 3 else self.text(value) if key == text_key else pack(value))
        return b"".join(pieces)

    def chunk(self, fields: dict[int, Any]) -> bytes:
        pieces = [_map(len(fields))]
        for key, value in fields.items():
            pieces.append(pack(key))
            if key == 2:
                pieces.append(self.text(value))
            elif key == 3:
                pieces.append(self.attributes(value))
            elif key == 4:
                pieces.append(_array(len(value)))
                pieces += [each if isinstance(each, bytes) else self.span(each) for each in value]
            else:
                pieces.append(pack(value))
        return b"".join(pieces)


def v1(*chunks: dict[int, Any], before: dict[int, Any] | None = None, after: dict[int, Any] | None = None) -> bytes:
    """A request: its fields by number, of which those in `after` come behind the chunks."""
    writer = V1Writer()
    before, after = before or {}, after or {}
    pieces = [_map(len(before) + len(after) + 1)]
    pieces += [pack(key) + _field(writer, key, value) for key, value in before.items()]
    pieces += [pack(11), _array(len(chunks)), *(writer.chunk(each) for each in chunks)]
    pieces += [pack(key) + _field(writer, key, value) for key, value in after.items()]
    return b"".join(pieces)


def _field(writer: V1Writer, key: int, value: Any) -> bytes:
    return writer.attributes(value) if key == 10 else writer.text(value) if 2 <= key <= 9 else pack(value)


def _array(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big")


def _map(count: int) -> bytes:
    return b"\xdf" + count.to_bytes(4, "big")
