"""What is inside a v1.0 span: its fields, typed attributes, links, events. Pure.

Rule of this file: values are read in the order of the bytes, or strings would get the wrong numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from ddx_core.errors import MalformedInput

from ..span import ArrayValue, AttributeValue, ScalarValue, Span, SpanEvent, SpanLink
from .lenient import duration, start
from .numbers import unsigned, whole
from .strings_v1 import Strings, TooManyStrings

_span_kinds: Final = {2: "server", 3: "client", 4: "producer", 5: "consumer"}

T = TypeVar("T")


class _Type:
    """What the value of an attribute is, by the number before it."""

    string, boolean, double, integer, binary, array, mapping = range(1, 8)


Attributes = list[tuple[str, int, Any]]
"""Key, type, value; an array's value is a list of (type, value), a map's is again attributes."""


def read_span(value: dict[Any, Any], strings: Strings, trace_id: int) -> Span:
    """`value` as decoded, its keys in the order of the bytes. Raises MalformedInput."""
    span = Span(trace_id=trace_id, span_id=0)
    meta, metrics = span.meta, span.metrics
    text = strings.text
    fields: dict[str, str] = {}
    for key, each in value.items():
        match key:
            case 1:
                span.service = text(each)
            case 2:
                span.name = text(each)
            case 3:
                span.resource = text(each)
            case 4:
                span.span_id = unsigned(each)
            case 5:
                span.parent_id = unsigned(each)
            case 6:
                span.start = start(each)
            case 7:
                span.duration = duration(each)
            case 8:
                span.error = whole(each, -(2**31), 2**31 - 1)
            case 9:
                _spread(each, strings, span)
            case 10:
                span.type = text(each)
            case 11:
                span.span_links = _each_of(each, _link, strings) or None
            case 12:
                span.span_events = _each_of(each, _event, strings) or None
            case 13:
                fields["env"] = text(each)
            case 14:
                fields["version"] = text(each)
            case 15:
                fields["component"] = text(each)
            case 16:
                fields["span.kind"] = _span_kinds.get(whole(each, 0, 2**32 - 1), "internal")
            case _:
                strings.skip(_texts_in(each))
    for name, content in fields.items():
        if content:
            meta[name] = content
            metrics.pop(name, None)
    return span


def read_attributes(value: Any, strings: Strings) -> Attributes:
    """An attribute list. Raises MalformedInput."""
    flat = _listed(value)
    if len(flat) % 3:
        raise MalformedInput(f"attributes come in threes, not {len(flat)}")
    found: Attributes = []
    for index in range(0, len(flat), 3):
        kind = flat[index + 1]
        read = _attempt(flat[index], kind, flat[index + 2], strings)
        if read is not None:
            found.append((read[0], kind, read[1]))
    return found


def _attempt(number: Any, kind: Any, each: Any, strings: Strings) -> tuple[str, Any] | None:
    """Key and value; None for an attribute that cannot be read, which costs no more than itself."""
    try:
        key = strings.text(number)
    except TooManyStrings:
        raise
    except MalformedInput:
        strings.skip(_texts_in([number, kind, each]))
        return None
    known = strings.count()
    try:
        return key, _value(kind, each, strings)
    except TooManyStrings:
        raise
    except MalformedInput:
        strings.forget(known)
        strings.skip(_texts_in([kind, each]))
        return None


def sort_attributes(attributes: Attributes) -> tuple[dict[str, str], dict[str, float]]:
    """As the older forms have them: texts and numbers. They have no place for binaries but on spans."""
    span = Span(trace_id=0, span_id=0)
    for key, kind, value in attributes:
        _put(span, key, kind, value)
    return span.meta, span.metrics


def _spread(value: Any, strings: Strings, span: Span) -> None:
    flat = _listed(value)
    if len(flat) % 3:
        raise MalformedInput(f"attributes come in threes, not {len(flat)}")
    text = strings.text
    meta, metrics = span.meta, span.metrics
    by_number = strings.by_number
    known = len(by_number)
    string, double = _Type.string, _Type.double
    binaries = span.meta_struct
    values = iter(flat)
    for number, kind, each in zip(values, values, values, strict=True):
        # Nearly all keys and texts were there before, nearly all attributes are one of these two, and nearly none comes twice.
        key = by_number[number] if type(number) is int and 0 <= number < known else None
        if key is None and type(number) is str:
            key = text(number)
        if key is not None and (binaries is None or key not in binaries):
            if kind == string and key not in metrics:
                if type(each) is int and 0 <= each < known:
                    meta[key] = by_number[each]
                    continue
                if type(each) is str:
                    meta[key] = text(each)
                    continue
            elif kind == double and type(each) is float and key not in meta:
                metrics[key] = each
                continue
        read = _attempt(number if key is None else key, kind, each, strings)
        if read is not None:
            _put(span, read[0], kind, read[1])
            binaries = span.meta_struct


def _put(span: Span, key: str, kind: int, value: Any) -> None:
    """The last of several attributes with one key stands, whatever their types."""
    span.meta.pop(key, None)
    span.metrics.pop(key, None)
    if span.meta_struct is not None:
        span.meta_struct.pop(key, None)
    match kind:
        case _Type.string:
            span.meta[key] = value
        case _Type.boolean | _Type.double | _Type.integer:
            span.metrics[key] = float(value)
        case _Type.binary:
            span.meta_struct = {**(span.meta_struct or {}), key: value}
        case _:
            # The older forms have no place for arrays and maps among a span's tags, but as text.
            span.meta[key] = _as_text(kind, value)


def _value(kind: Any, value: Any, strings: Strings) -> Any:
    match kind:
        case _Type.string:
            return strings.text(value)
        case _Type.boolean if type(value) is bool:
            return value
        case _Type.double if type(value) in (float, int):
            return float(value)
        case _Type.integer:
            return whole(value, -(2**63), 2**63 - 1)
        case _Type.binary if type(value) is bytes:
            return value
        case _Type.array:
            flat = _listed(value)
            if len(flat) % 2:
                raise MalformedInput(f"an array's values come in pairs, not {len(flat)}")
            return [(flat[at], _value(flat[at], flat[at + 1], strings)) for at in range(0, len(flat), 2)]
        case _Type.mapping:
            return read_attributes(value, strings)
        case _:
            raise MalformedInput(f"{type(value).__name__} as an attribute of type {kind!r}")


def _plain(kind: int, value: Any) -> Any:
    if kind == _Type.array:
        return [_plain(inner, each) for inner, each in value]
    if kind == _Type.mapping:
        return {key: _plain(inner, each) for key, inner, each in value}
    return value


def _as_text(kind: int, value: Any) -> str:
    return value if kind == _Type.string else msgspec.json.encode(_plain(kind, value)).decode()


def _each_of(value: Any, read: Callable[[Any, Strings], T], strings: Strings) -> list[T]:
    """Links or events; one that cannot be read is left out, and its strings count all the same."""
    found: list[T] = []
    if type(value) is not list:
        strings.skip(_texts_in(value))
        return found
    for each in value:  # pyright: ignore[reportUnknownVariableType]
        known = strings.count()
        try:
            found.append(read(each, strings))
        except TooManyStrings:
            raise
        except MalformedInput:
            strings.forget(known)
            strings.skip(_texts_in(each))
    return found


def _link(value: Any, strings: Strings) -> SpanLink:
    upper = lower = span_id = flags = 0
    attributes: dict[str, str] = {}
    tracestate = ""
    for key, each in _entries(value, "a link"):
        match key:
            case 1 if type(each) is bytes and len(each) == 16:
                upper, lower = int.from_bytes(each[:8], "big"), int.from_bytes(each[8:], "big")
            case 2:
                span_id = unsigned(each)
            case 3:
                attributes = {name: _as_text(kind, inner) for name, kind, inner in read_attributes(each, strings)}
            case 4:
                tracestate = strings.text(each)
            case 5:
                flags = whole(each, 0, 2**32 - 1)
            case _:
                strings.skip(_texts_in(each))
    return SpanLink(
        trace_id=lower, trace_id_high=upper, span_id=span_id, attributes=attributes, tracestate=tracestate, flags=flags
    )


def _event(value: Any, strings: Strings) -> SpanEvent:
    time = 0
    name = ""
    attributes: dict[str, AttributeValue] = {}
    for key, each in _entries(value, "an event"):
        match key:
            case 1:
                time = unsigned(each)
            case 2:
                name = strings.text(each)
            case 3:
                listed = read_attributes(each, strings)
                attributes = {each_key: _event_value(kind, inner) for each_key, kind, inner in listed}
            case _:
                strings.skip(_texts_in(each))
    return SpanEvent(time_unix_nano=time, name=name, attributes=attributes)


def _event_value(kind: int, value: Any) -> AttributeValue:
    if kind == _Type.array:
        return AttributeValue(type=4, array_value=ArrayValue(values=[_scalar(inner, each) for inner, each in value]))
    return _made(AttributeValue, kind, value)


def _scalar(kind: int, value: Any) -> ScalarValue:
    return _made(ScalarValue, kind, value)


def _made(make: Callable[..., Any], kind: int, value: Any) -> Any:
    match kind:
        case _Type.boolean:
            return make(type=1, bool_value=value)
        case _Type.integer:
            return make(type=2, int_value=value)
        case _Type.double:
            return make(type=3, double_value=value)
        case _:
            return make(string_value=_as_text(kind, value))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    if type(value) is not list:
        raise MalformedInput(f"an array is expected, not {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def _entries(value: Any, what: str) -> Iterable[tuple[Any, Any]]:
    if type(value) is not dict:
        raise MalformedInput(f"{what} is a map, not {type(value).__name__}")
    return value.items()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


def _texts_in(value: Any) -> Iterable[str | None]:
    """What `all_strings` would find in the encoded value, for `Strings.skip`."""
    yield value if type(value) is str else None
    if type(value) is list:
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _texts_in(each)
    elif type(value) is dict:
        for key, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _texts_in(key)
            yield from _texts_in(each)
