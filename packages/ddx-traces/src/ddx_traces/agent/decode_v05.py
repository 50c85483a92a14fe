"""v0.5 traces: a MessagePack pair of a string dictionary and traces whose spans are arrays of twelve. Pure.

The same rule as for v0.4: what is wrong inside a span costs that span (an index outside the dictionary too), what is wrong
around the spans refuses the request before any of it was taken.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from ddx_core.errors import MalformedInput

from ..messagepack import announced, open_array, read_text, read_value, undecodable
from ..parts import ReadSpans, Traces, open_traces
from ..span import Int32, Int64, Span, UInt64
from .lenient import duration, present, start
from .numbers import unsigned, whole

span_fields: Final = 12
max_strings: Final = 25_000_000
free_strings: Final = 65_536
# A string is in a dictionary once, and where there are many they are ids and URLs: with the spans that they are for, even
# ten new ones in each span come to more than this.
bytes_per_string: Final = 16

T = TypeVar("T")

Index = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class _Fields(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    service: Index
    name: Index
    resource: Index
    trace_id: UInt64
    span_id: UInt64
    parent_id: UInt64
    start: Int64
    duration: Int64
    error: Int32
    meta: dict[Index, Index]
    metrics: dict[Index, float]
    type: Index


_strict = msgspec.msgpack.Decoder(_Fields)
_strings = msgspec.msgpack.Decoder(list[str])


def decode_v05(body: bytes) -> Traces:
    """The traces of a request, decoded as they are iterated over. Raises MalformedInput at once or not at all."""
    halves = open_array(body, "the request")
    if len(halves) != 2:
        raise MalformedInput(f"a dictionary and traces are expected, not {len(halves)} elements")
    strings = _read_dictionary(halves[0], len(body))

    def read(elements: list[msgspec.Raw]) -> ReadSpans:
        return _read(elements, strings)

    return open_traces(halves[1], read)


def _read_dictionary(raw: msgspec.Raw, size: int) -> list[str]:
    count = announced(raw, "the dictionary")
    if count > min(max_strings, free_strings + size // bytes_per_string):
        raise MalformedInput(f"the dictionary: {count} strings in a request of {size} bytes")
    try:
        return _strings.decode(raw)
    except undecodable:
        # Some string is nil, bytes, or broken UTF-8.
        elements = msgspec.msgpack.decode(bytes(raw), type=list[msgspec.Raw])
        return [read_text(element) or "" for element in elements]


def _read(elements: list[msgspec.Raw], strings: list[str]) -> ReadSpans:
    decode = _strict.decode
    spans: list[Span] = []
    malformed = 0
    for element in elements:
        try:
            fields = decode(element)
        except undecodable:
            try:
                fields = _mend(element)
            except MalformedInput:
                malformed += 1
                continue
        try:
            span = Span(
                service=strings[fields.service],
                name=strings[fields.name],
                resource=strings[fields.resource],
                type=strings[fields.type],
                trace_id=fields.trace_id,
                span_id=fields.span_id,
                parent_id=fields.parent_id,
                start=fields.start,
                duration=fields.duration,
                error=fields.error,
                meta={strings[key]: strings[value] for key, value in fields.meta.items()},
                metrics={strings[key]: value for key, value in fields.metrics.items()},
            )
        except IndexError:
            malformed += 1
            continue
        spans.append(span)
    return ReadSpans(spans, malformed)


def _mend(element: msgspec.Raw) -> _Fields:
    """A span that the strict decoder refused, with the same tolerance as v0.4's."""
    values = read_value(element)
    if not isinstance(values, list) or len(values) != span_fields:  # pyright: ignore[reportUnknownArgumentType]
        raise MalformedInput(f"a span is an array of {span_fields}")
    service, name, resource, trace_id, span_id, parent_id, begun, took, error, meta, metrics, kind = values  # pyright: ignore[reportUnknownVariableType]
    return _Fields(
        service=_index(service),
        name=_index(name),
        resource=_index(resource),
        trace_id=unsigned(trace_id),
        span_id=unsigned(span_id),
        parent_id=unsigned(parent_id),
        start=start(begun),
        duration=duration(took),
        error=whole(error, -(2**31), 2**31 - 1),
        meta=_indexes(meta),
        metrics=_numbers(metrics),
        type=_index(kind),
    )


def _index(value: Any) -> int:
    return whole(value, 0, 2**32 - 1)


def _indexes(value: Any) -> dict[int, int]:
    return present({} if value is None else _convert(value, dict[Index, Index | None]))


def _numbers(value: Any) -> dict[int, float]:
    entries: dict[int, Any] = {} if value is None else _convert(value, dict[Index, Any])
    return {key: float(each) for key, each in entries.items() if isinstance(each, (float, int))}


def _convert(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise MalformedInput(str(error)) from error
