"""What hangs on a v0.4 span, read entry by entry with tolerance: numbers, binaries, links, events. Pure.

Rule of this file: nothing here costs the span. A number may come as a float that is whole, text as bytes, an attribute
without its typed map; what cannot be read all the same is left out, and it alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from ddx_core.errors import MalformedInput

from ..messagepack import describe, undecodable
from ..scan import mend_strings
from ..span import ArrayValue, AttributeValue, ScalarValue, SpanEvent, SpanLink
from .numbers import unsigned, whole

T = TypeVar("T")

_anything = msgspec.msgpack.Decoder()
_entries = msgspec.msgpack.Decoder(dict[str, Raw] | None)
_list: msgspec.msgpack.Decoder[list[Raw] | None] = msgspec.msgpack.Decoder(list[Raw] | None)

_int64: Final = (-(2**63), 2**63 - 1)


def entries_of(raw: Raw) -> dict[str, Raw]:
    """A map's values by name, still encoded; names are mended where they are not UTF-8."""
    try:
        return _entries.decode(raw) or {}
    except UnicodeDecodeError:
        return _entries.decode(mend_strings(bytes(raw))) or {}


def read_metrics(raw: Raw) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for key, each in entries_of(raw).items():
        value = _value_of(each)
        if isinstance(value, (float, int)):  # a truth value is a number too
            metrics[key] = float(value)
    return metrics


def read_binaries(raw: Raw) -> dict[str, bytes]:
    """What `meta_struct` holds is MessagePack itself: a map or array that stands there unwrapped is taken as it is."""
    binaries: dict[str, bytes] = {}
    with suppress(*undecodable):
        for key, each in entries_of(raw).items():
            value = _value_of(each)
            if isinstance(value, bytes):
                binaries[key] = value
            elif isinstance(value, str):
                binaries[key] = value.encode()
            elif isinstance(value, (dict, list)):
                binaries[key] = bytes(each)
    return binaries


def read_links(raw: Raw) -> list[SpanLink]:
    return _each_of(raw, _link)


def read_events(raw: Raw) -> list[SpanEvent]:
    return _each_of(raw, _event)


def _each_of(raw: Raw, read: Callable[[dict[str, Any]], T]) -> list[T]:
    found: list[T] = []
    with suppress(*undecodable):
        elements: list[Raw] = _list.decode(raw) or []
        for element in elements:
            value = _value_of(element)
            if isinstance(value, dict):
                with suppress(MalformedInput):
                    found.append(read(value))  # pyright: ignore[reportUnknownArgumentType]
    return found


def _value_of(raw: Raw) -> Any:
    """None also where nothing can be read."""
    try:
        try:
            return _anything.decode(raw)
        except UnicodeDecodeError:
            return _anything.decode(mend_strings(bytes(raw)))
    except (*undecodable, MalformedInput):
        return None


def _link(value: dict[str, Any]) -> SpanLink:
    attributes: dict[str, str] = {}
    for key, each in _map(value.get("attributes")).items():
        with suppress(MalformedInput):
            if each is not None:
                attributes[_text(key)] = _as_text(each)
    return SpanLink(
        trace_id=unsigned(value.get("trace_id")),
        trace_id_high=unsigned(value.get("trace_id_high")),
        span_id=unsigned(value.get("span_id")),
        attributes=attributes,
        tracestate=_text(value.get("tracestate")),
        flags=whole(value.get("flags"), 0, 2**32 - 1),
    )


def _event(value: dict[str, Any]) -> SpanEvent:
    attributes: dict[str, AttributeValue] = {}
    for key, each in _map(value.get("attributes")).items():
        with suppress(MalformedInput):
            if each is not None:
                attributes[_text(key)] = _attribute(each)
    return SpanEvent(
        time_unix_nano=unsigned(value.get("time_unix_nano")), name=_text(value.get("name")), attributes=attributes
    )


def _attribute(value: Any) -> AttributeValue:
    if isinstance(value, dict):
        kind = whole(value.get("type"), 0, 4)  # pyright: ignore[reportUnknownMemberType]
        if kind < 4:
            return AttributeValue(type=kind, **_content(kind, value))  # pyright: ignore[reportUnknownArgumentType]
        listed: Any = _map(value.get("array_value")).get("values")  # pyright: ignore[reportUnknownMemberType]
        return AttributeValue(type=4, array_value=_array(listed))
    if isinstance(value, list):
        return AttributeValue(type=4, array_value=_array(value))
    kind, content = _plain(value)
    return AttributeValue(type=kind, **content)


def _array(listed: Any) -> ArrayValue:
    values: list[ScalarValue] = []
    for each in listed if isinstance(listed, list) else ():  # pyright: ignore[reportUnknownVariableType]
        with suppress(MalformedInput):
            values.append(_scalar(each))
    return ArrayValue(values=values)


def _scalar(value: Any) -> ScalarValue:
    if isinstance(value, dict):
        kind = whole(value.get("type"), 0, 3)  # pyright: ignore[reportUnknownMemberType]
        return ScalarValue(type=kind, **_content(kind, value))  # pyright: ignore[reportUnknownArgumentType]
    kind, content = _plain(value)
    return ScalarValue(type=kind, **content)


def _content(kind: int, value: dict[str, Any]) -> dict[str, Any]:
    """The one field that counts for a type."""
    match kind:
        case 0:
            return {"string_value": _text(value.get("string_value"))}
        case 1:
            return {"bool_value": bool(whole(value.get("bool_value"), 0, 1))}
        case 2:
            return {"int_value": whole(value.get("int_value"), *_int64)}
        case _:
            number = value.get("double_value", 0.0)
            if isinstance(number, (float, int)):
                return {"double_value": float(number)}
            raise MalformedInput("a number is expected")


def _plain(value: Any) -> tuple[int, dict[str, Any]]:
    if isinstance(value, bool):
        return 1, {"bool_value": value}
    if isinstance(value, int):
        return (2, {"int_value": value}) if value <= _int64[1] else (3, {"double_value": float(value)})
    if isinstance(value, float):
        return 3, {"double_value": value}
    return 0, {"string_value": _text(value)}


def _map(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    raise MalformedInput(f"a string is expected, not {type(value).__name__}")


def _as_text(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return _text(value)
    try:
        return msgspec.json.encode(value).decode()
    except (*undecodable, TypeError) as error:
        raise MalformedInput(describe(error)) from error
