"""Protobuf wire format: bytes and a table of field numbers in, frozen values out.

Rules of this file:
- It shares nothing with what encodes: no generated code, no protobuf library. A mistake on the sending side must not be
  able to hide behind the same mistake here.
- Every read is bounds-checked, nesting and the number of values are limited, and whatever the bytes are, the outcome is
  a value or DecodeError.
- It is stricter than the format: a known field of the wrong wire type is an error and not an unknown field, because
  the intake this stands in for refuses such a message too.

The format is described at protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from .errors import DecodeError, TooLarge

T = TypeVar("T")

max_depth: Final = 100
max_values: Final = 1_000_000
"""Messages, map entries and packed numbers in one payload: an empty message costs two bytes here and hundreds in Python."""

varint, fixed64, length_delimited, start_group, end_group, fixed32 = range(6)

_double = struct.Struct("<d")
_mask64 = (1 << 64) - 1


class Scalar(msgspec.Struct, frozen=True):
    """A type of single values: its wire type, and its name, which decides how the bits are read."""

    name: str
    wire: int


int32 = Scalar("int32", varint)
int64 = Scalar("int64", varint)
uint32 = Scalar("uint32", varint)
uint64 = Scalar("uint64", varint)
sint32 = Scalar("sint32", varint)
boolean = Scalar("bool", varint)
enum = int32
double = Scalar("double", fixed64)
fixed_uint64 = Scalar("fixed64", fixed64)
string = Scalar("string", length_delimited)
binary = Scalar("bytes", length_delimited)


class Message(Generic[T]):
    """A message type: the struct it becomes and its fields by number. Absent fields take the struct's defaults.

    `oneof` says that all fields are alternatives: setting one unsets the others.
    Fields can be added after construction, so that a type can contain itself.
    """

    def __init__(self, build: type[T], fields: Mapping[int, Field] | None = None, *, oneof: bool = False) -> None:
        self.build = build
        self.oneof = oneof
        self.by_tag: dict[int, Field] = {}
        self.numbers: set[int] = set()
        for number, field in (fields or {}).items():
            self.add(number, field)

    def add(self, number: int, field: Field) -> None:
        self.numbers.add(number)
        self.by_tag[number << 3 | field.wire] = field
        if field.packed_type is not None:
            # A repeated number may come one by one or packed into one run of bytes: readers must take both.
            self.by_tag[number << 3 | length_delimited] = field


class Field:
    """One field: the struct's attribute it fills and how its bytes are read."""

    __slots__ = ("key", "key_tag", "message", "name", "packed_type", "repeated", "scalar", "value_tag", "wire")

    def __init__(
        self,
        name: str,
        type: Scalar | Message[Any],
        *,
        repeated: bool = False,
        key: Scalar | None = None,
    ) -> None:
        self.name = name
        self.scalar = type if isinstance(type, Scalar) else None
        self.message = type if isinstance(type, Message) else None
        self.repeated = repeated
        self.key = key
        packable = repeated and self.scalar is not None and self.scalar.wire != length_delimited
        self.packed_type = self.scalar if packable else None
        self.wire = self.scalar.wire if self.scalar is not None and key is None else length_delimited
        # A map entry is a message of field 1, the key, and field 2, the value.
        self.key_tag = 1 << 3 | (key.wire if key is not None else 0)
        self.value_tag = 2 << 3 | (self.scalar.wire if self.scalar is not None else length_delimited)


def one(name: str, type: Scalar | Message[Any]) -> Field:
    return Field(name, type)


def many(name: str, type: Scalar | Message[Any]) -> Field:
    """A repeated field, read into a tuple."""
    return Field(name, type, repeated=True)


def mapping(name: str, key: Scalar, value: Scalar | Message[Any]) -> Field:
    """A `map<key, value>`, on the wire a repeated message of field 1 (key) and field 2 (value)."""
    return Field(name, value, key=key)


def read_message(message: Message[T], data: bytes) -> T:
    """Read one whole message. Raises DecodeError, or TooLarge when it holds more values than anyone sends."""
    return _Reader(data).message(message, 0, len(data), 0)


class _Reader:
    """One payload and what is left of its budget."""

    __slots__ = ("budget", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.budget = max_values

    def message(self, message: Message[T], at: int, end: int, depth: int) -> T:
        self._spend(1)
        if depth > max_depth:
            raise DecodeError(f"messages nested deeper than {max_depth}")
        data = self.data
        by_tag = message.by_tag
        values: dict[str, Any] = {}
        nested: dict[str, tuple[Message[Any], list[tuple[int, int]]]] = {}
        while at < end:
            tag = data[at]
            if tag < 0x80:
                at += 1
            else:
                tag, at = self._varint(at, end)
            field = by_tag.get(tag)
            if field is None:
                at = self._skip(message, tag, at, end, depth)
                continue
            name = field.name
            if message.oneof and name not in values and name not in nested:
                values.clear()
                nested.clear()
            if tag & 7 != length_delimited:
                scalar = field.scalar
                assert scalar is not None
                value, at = self._number(scalar, at, end)
                if field.repeated:
                    self._spend(1)
                    values.setdefault(name, []).append(value)
                else:
                    values[name] = value
                continue
            start, at = self._run(at, end)
            if field.packed_type is not None:
                self._packed(field.packed_type, start, at, values.setdefault(name, []))
            elif field.key is not None:
                self._entry(field, start, at, depth, values.setdefault(name, {}))
            elif field.message is not None and field.repeated:
                values.setdefault(name, []).append(self.message(field.message, start, at, depth + 1))
            elif field.message is not None:
                nested.setdefault(name, (field.message, []))[1].append((start, at))
            else:
                assert field.scalar is not None
                value = self._bytes(field.scalar, start, at)
                if field.repeated:
                    self._spend(1)
                    values.setdefault(name, []).append(value)
                else:
                    values[name] = value
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(cast("list[Any]", value))
        for name, (inner, runs) in nested.items():
            values[name] = self._merged(inner, runs, depth + 1)
        return message.build(**values)

    def _merged(self, message: Message[Any], runs: list[tuple[int, int]], depth: int) -> Any:
        """Occurrences of a singular message are merged, which is the same as reading their bytes joined."""
        if not runs:
            return message.build()
        if len(runs) == 1:
            return self.message(message, *runs[0], depth)
        joined = _Reader(b"".join(self.data[start:end] for start, end in runs))
        joined.budget = self.budget
        try:
            return joined.message(message, 0, len(joined.data), depth)
        finally:
            self.budget = joined.budget

    def _entry(self, field: Field, at: int, end: int, depth: int, into: dict[Any, Any]) -> None:
        """One entry of a map; a missing key or value is the zero of its type, a repeated key replaces."""
        self._spend(1)
        key_type, value_type, value_message = field.key, field.scalar, field.message
        assert key_type is not None
        key: Any = None
        value: Any = None
        runs: list[tuple[int, int]] = []
        while at < end:
            tag = self.data[at]
            if tag == field.key_tag:
                key, at = self._scalar(key_type, at + 1, end)
            elif tag == field.value_tag and value_type is not None:
                value, at = self._scalar(value_type, at + 1, end)
            elif tag == field.value_tag:
                start, at = self._run(at + 1, end)
                runs.append((start, at))
            else:
                tag, at = self._varint(at, end)
                at = self._skip(_entry_shape, tag, at, end, depth)
        if value_message is not None:
            value = self._merged(value_message, runs, depth + 1)
        elif value is None and value_type is not None:
            value = _zero(value_type)
        into[_zero(key_type) if key is None else key] = value

    def _scalar(self, scalar: Scalar, at: int, end: int) -> tuple[Any, int]:
        if scalar.wire != length_delimited:
            return self._number(scalar, at, end)
        start, at = self._run(at, end)
        return self._bytes(scalar, start, at), at

    def _number(self, scalar: Scalar, at: int, end: int) -> tuple[Any, int]:
        if scalar.wire == fixed64:
            if end - at < 8:
                raise DecodeError(f"{scalar.name} cut short at byte {at}")
            if scalar is double:
                return _double.unpack_from(self.data, at)[0], at + 8
            return int.from_bytes(self.data[at : at + 8], "little"), at + 8
        bits, at = self._varint(at, end)
        return _from_varint(scalar, bits), at

    def _bytes(self, scalar: Scalar, start: int, end: int) -> str | bytes:
        run = self.data[start:end]
        if scalar is binary:
            return run
        try:
            return run.decode()
        except UnicodeDecodeError as error:
            raise DecodeError(f"a string at byte {start} is no UTF-8") from error

    def _packed(self, scalar: Scalar, at: int, end: int, into: list[Any]) -> None:
        while at < end:
            value, at = self._number(scalar, at, end)
            into.append(value)
            self._spend(1)

    def _run(self, at: int, end: int) -> tuple[int, int]:
        """The bounds of a length-delimited value."""
        if at < end and self.data[at] < 0x80:
            length = self.data[at]
            at += 1
        else:
            length, at = self._varint(at, end)
        if length > end - at:
            raise DecodeError(f"{length} bytes announced at byte {at}, {end - at} left")
        return at, at + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        data = self.data
        result = shift = 0
        while at < end:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                if result > _mask64:
                    raise DecodeError(f"a varint before byte {at} has more than 64 bits")
                return result, at
            shift += 7
            if shift > 63:
                raise DecodeError(f"a varint before byte {at} is longer than ten bytes")
        raise DecodeError(f"a varint is cut short at byte {at}")

    def _skip(self, message: Message[Any], tag: int, at: int, end: int, depth: int) -> int:
        """Step over a field that the table does not have. A known number in a wrong wire type is an error."""
        number, wire = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise DecodeError(f"field number {number} before byte {at} does not exist")
        if number in message.numbers:
            raise DecodeError(f"field {number} of {message.build.__name__} has wire type {wire}, at byte {at}")
        if wire == varint:
            return self._varint(at, end)[1]
        if wire == length_delimited:
            return self._run(at, end)[1]
        if wire in (fixed64, fixed32):
            at += 8 if wire == fixed64 else 4
            if at > end:
                raise DecodeError(f"a fixed value is cut short at byte {end}")
            return at
        if wire == start_group:
            return self._skip_group(number, at, end, depth + 1)
        raise DecodeError(f"wire type {wire} before byte {at} makes no sense here")

    def _skip_group(self, number: int, at: int, end: int, depth: int) -> int:
        if depth > max_depth:
            raise DecodeError(f"groups nested deeper than {max_depth}")
        closing = number << 3 | end_group
        while at < end:
            tag, at = self._varint(at, end)
            if tag == closing:
                return at
            at = self._skip(_group_shape, tag, at, end, depth)
        raise DecodeError(f"a group is cut short at byte {at}")

    def _spend(self, values: int) -> None:
        self.budget -= values
        if self.budget < 0:
            raise TooLarge(f"more than {max_values} values in one payload")


class _Group(msgspec.Struct):
    """Stands for a group where a table is asked for: none of the fields in it is known."""


class _MapEntry(msgspec.Struct):
    """Stands for a map entry where a table is asked for: its two fields are read by hand."""


_group_shape = Message(_Group)
_entry_shape = Message(_MapEntry)
_entry_shape.numbers |= {1, 2}


def _from_varint(scalar: Scalar, bits: int) -> int | bool:
    """The value of 64 bits; 32-bit types look at the lower half, as every reader of the format does."""
    match scalar.name:
        case "uint64":
            return bits
        case "int64":
            return bits - (1 << 64) if bits >> 63 else bits
        case "uint32":
            return bits & 0xFFFFFFFF
        case "int32":
            bits &= 0xFFFFFFFF
            return bits - (1 << 32) if bits >> 31 else bits
        case "sint32":
            bits &= 0xFFFFFFFF
            return (bits >> 1) ^ -(bits & 1)
        case _:
            return bits != 0


def _zero(scalar: Scalar) -> Any:
    if scalar is string:
        return ""
    if scalar is binary:
        return b""
    if scalar is boolean:
        return False
    return 0.0 if scalar is double else 0
