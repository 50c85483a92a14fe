"""JSON and MessagePack bodies into typed values, every failure as DecodeError."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from .errors import DecodeError

T = TypeVar("T")

# Besides its own errors, msgspec lets these through: for text that is no UTF-8, and for nesting deeper than the stack.
_failures = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_json(body: bytes | msgspec.Raw, type: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type)
    except _failures as error:
        raise DecodeError(f"JSON: {error}") from error


def read_msgpack(body: bytes, type: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(body, type=type)
    except _failures as error:
        raise DecodeError(f"MessagePack: {error}") from error


def json_text(value: Any) -> str:
    """Compact JSON of a value that came out of `read_json`."""
    return msgspec.json.encode(value).decode()
