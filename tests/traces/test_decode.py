"""Both wire forms, through one list of cases where they are alike. Vectors: libdatadog, libdd-trace-utils."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_traces import parts as parts_module
from ddx_traces.agent import decode_v04, decode_v05
from ddx_traces.agent.decode_json import decode_json
from ddx_traces.agent.decode_v07 import decode_v07
from ddx_traces.parts import TracePart
from ddx_traces.span import ArrayValue, AttributeValue, ScalarValue, Span, SpanLink

from .support import v04, v05, wire_span, wire_trace

Decode = Callable[[bytes], Iterator[TracePart]]
both = pytest.mark.parametrize(("decode", "encode"), [(decode_v04, v04), (decode_v05, v05)], ids=["v0.4", "v0.5"])


def read(decode: Decode, body: bytes) -> tuple[list[list[Span]], int]:
    parts = list(decode(body))
    return [part.read.spans for part in parts], sum(part.read.malformed for part in parts)


def read_all(decode: Decode, body: bytes) -> tuple[list[Span], int]:
    traces, malformed = read(decode, body)
    return [span for trace in traces for span in trace], malformed


def as_map(span: Span) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(span).items() if value is not None}


# --- both forms --------------------------------------------------------------------------------------------------------

texts = st.text(max_size=20)
uint64s = st.integers(0, 2**64 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
spans = st.fixed_dictionaries(
    {
        "trace_id": uint64s,
        "span_id": uint64s,
        "parent_id": uint64s,
        "service": texts,
        "name": texts,
        "resource": texts,
        "type": texts,
        "start": int64s,
        "duration": int64s,
        "error": st.integers(-(2**31), 2**31 - 1),
        "meta": st.dictionaries(texts, texts, max_size=5),
        "metrics": st.dictionaries(texts, st.floats(allow_nan=False) | st.integers(-(2**53), 2**53), max_size=5),
    }
)
traces = st.lists(st.lists(spans, max_size=4), max_size=4)


@both
@settings(max_examples=50)
@given(sent=traces)
def test_what_was_sent_is_read(decode: Decode, encode: Callable[..., bytes], sent: list[list[dict[str, Any]]]) -> None:
    found, malformed = read(decode, encode(*sent))
    assert [[as_map(span) for span in trace] for trace in found] == sent
    assert malformed == 0


@both
@settings(max_examples=50)
@given(sent=traces, data=st.data())
def test_bytes_cut_short_or_changed_are_spans_or_malformed(
    decode: Decode, encode: Callable[..., bytes], sent: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    body = bytearray(encode(*sent))
    with pytest.raises(MalformedInput):
        decode(bytes(body[: data.draw(st.integers(0, len(body) - 1))]))
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read_or_malformed(decode, bytes(body))


@both
@settings(max_examples=50)
@given(body=st.binary(max_size=200))
@example(b"")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdd\x00\xff\xff\xff" + b"\x90" * 1000)
@example(b"\x91" * 100_000)
@example(b"\x91\x91\x81\xa1x" + b"\x91" * 100_000)
@example(b"\x92\xdd\x7f\xff\xff\xff\x90")
@example(b"\x91\x91\x81\xa5start\xc7\x0c\xff" + struct.pack(">Iq", 1, 253402300800))
@example(b"\x91\x91\x81\x80\x01")
def test_any_bytes_are_spans_or_malformed(decode: Decode, encode: Callable[..., bytes], body: bytes) -> None:
    read_or_malformed(decode, body)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=5) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
field_names = st.sampled_from([*wire_span(), "meta_struct", "span_links", "span_events"])


@settings(max_examples=50)
@given(st.lists(st.lists(st.dictionaries(field_names, values, max_size=6) | values, max_size=3) | values, max_size=3))
def test_any_values_in_the_place_of_spans_are_spans_or_malformed(sent: list[Any]) -> None:
    read_or_malformed(decode_v04, msgspec.msgpack.encode(sent))


@settings(max_examples=50)
@given(st.lists(values, max_size=3), st.lists(st.tuples(st.integers(0, 12), values), min_size=1, max_size=4))
def test_any_values_in_the_places_of_a_v05_span_are_spans_or_malformed(
    strings: list[Any], changes: list[tuple[int, Any]]
) -> None:
    fields: list[Any] = [0, 0, 0, 1, 2, 0, 1, 1, 0, {0: 0}, {0: 1}, 0]
    for place, value in changes:
        fields[place : place + 1] = [value]
    read_or_malformed(decode_v05, msgspec.msgpack.encode([["", *strings], [[fields]]]))


def read_or_malformed(decode: Decode, body: bytes) -> None:
    try:
        parts = decode(body)
    except MalformedInput:
        return
    for part in parts:  # what raises here raises after the request was taken
        assert part.read.malformed >= 0
        for span in part.read.spans:
            assert isinstance(span.service, str)
            assert all(isinstance(value, str) for value in span.meta.values())
            assert -(2**63) <= span.start < 2**63
            assert 0 <= span.trace_id < 2**64


@both
def test_no_traces_are_no_parts(decode: Decode, encode: Callable[..., bytes]) -> None:
    assert list(decode(encode())) == []
    assert read(decode, encode([])) == ([[]], 0)


@both
@pytest.mark.parametrize("body", [b"\x80", b"\xc0", b"\x91\x01", b"\x91\x80", b"\x92\x90\xa1x"])
def test_outer_forms_are_checked_before_anything_is_read(
    decode: Decode, encode: Callable[..., bytes], body: bytes
) -> None:
    with pytest.raises(MalformedInput):
        decode(body)


@both
def test_one_bad_span_costs_no_other(decode: Decode, encode: Callable[..., bytes]) -> None:
    bad = wire_span(span_id=3)
    bad["trace_id"] = "a text"
    body = encode([wire_span(span_id=1), bad, wire_span(span_id=2)], [bad], [wire_span(span_id=4)])
    found, malformed = read(decode, body)
    assert [[span.span_id for span in trace] for trace in found] == [[1, 2], [], [4]]
    assert malformed == 2


@both
@pytest.mark.parametrize("duration", [-1, 1.5, 2**64 - 1, "long", None, True, [1]])
def test_unusable_duration_is_zero(decode: Decode, encode: Callable[..., bytes], duration: Any) -> None:
    ((span,), malformed) = read_all(decode, encode([wire_span(duration=duration)]))
    # A negative one passes the strict decoder and is mended by normalization; True is the number 1.
    assert max(0, span.duration) == (1 if duration is True else 0)
    assert malformed == 0


@both
@pytest.mark.parametrize(
    ("field", "sent", "expected"),
    [
        ("parent_id", None, 0),
        ("parent_id", 7.0, 7),
        ("start", 2**64 - 1, 0),
        ("start", 1.7e18, int(1.7e18)),
        ("start", None, 0),
        ("error", None, 0),
        ("error", True, 1),
        ("error", 1.0, 1),
        ("metrics", {"n": None, "k": 1}, {"k": 1.0}),
        ("metrics", {"n": 2**64 - 1}, {"n": float(2**64 - 1)}),
        ("metrics", {"n": True, "s": "1", "k": 2}, {"n": 1.0, "k": 2.0}),
    ],
)
def test_numbers_that_tracers_get_wrong_are_mended(
    decode: Decode, encode: Callable[..., bytes], field: str, sent: Any, expected: Any
) -> None:
    ((span,), malformed) = read_all(decode, encode([wire_span(**{field: sent})]))
    assert getattr(span, field) == expected
    assert malformed == 0


@both
@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("trace_id", -1),
        ("span_id", 1.5),
        ("error", 2**31),
        ("error", "yes"),
        ("start", "now"),
    ],
)
def test_wrong_types_make_a_span_malformed(decode: Decode, encode: Callable[..., bytes], field: str, sent: Any) -> None:
    assert read_all(decode, encode([wire_span(**{field: sent})])) == ([], 1)


@both
def test_very_long_trace_comes_in_parts(
    decode: Decode, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "max_part_bytes", 1000)
    parts = list(decode(encode(wire_trace(1, 50), wire_trace(2, 2))))
    assert sum(len(part.read.spans) for part in parts) == 52
    *long, last = [part for part in parts if part.size]
    assert last.outline is None
    assert len({id(part.outline) for part in long}) == 1
    assert long[0].outline is not None
    assert all(part.size <= 1000 for part in parts)


@both
def test_span_that_no_payload_could_take_is_not_even_decoded(
    decode: Decode, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "max_part_bytes", 400)
    monkeypatch.setattr(parts_module, "max_span_bytes", 500)
    huge = wire_span(span_id=3, metrics={f"metric {number}": 0.5 for number in range(100)})
    parts = list(decode(encode([wire_span(span_id=1), huge, wire_span(span_id=2)])))
    assert [span.span_id for part in parts for span in part.read.spans] == [1, 2]
    (left_out,) = [part for part in parts if part.too_large]
    assert (left_out.too_large, left_out.read.malformed, left_out.outline) == (1, 0, parts[-1].outline)


# --- v0.4 --------------------------------------------------------------------------------------------------------------


def test_left_out_fields_have_their_defaults() -> None:
    ((span,), _) = read_all(decode_v04, v04([{"trace_id": 1, "span_id": 2, "name": "x", "unknown": [{"a": 1}]}]))
    assert span == Span(trace_id=1, span_id=2, name="x")
    assert (span.service, span.parent_id, span.error, span.meta, span.span_links) == ("", 0, 0, {}, None)


def test_span_without_ids_is_left_to_the_processing() -> None:
    ((span,), malformed) = read_all(decode_v04, v04([{"name": "x"}]))
    assert (span.trace_id, span.span_id, malformed) == (0, 0, 0)


def test_nil_counts_as_left_out() -> None:
    body = v04(
        [{**dict.fromkeys([*wire_span(), "meta_struct", "span_links", "span_events"]), "trace_id": 1, "span_id": 2}]
    )
    assert read_all(decode_v04, body) == ([Span(trace_id=1, span_id=2)], 0)


def test_meta_entries_that_are_nil_are_left_out() -> None:
    ((span,), _) = read_all(
        decode_v04, v04([wire_span(meta={"a": None, "b": "x"}, meta_struct={"c": None, "d": b"y"})])
    )
    assert span.meta == {"b": "x"}
    assert span.meta_struct == {"d": b"y"}


def test_bytes_for_a_string_and_broken_utf8_are_mended() -> None:
    ((span,), _) = read_all(decode_v04, v04([wire_span(service=b"web", meta={"a": b"\xffx"})]))
    assert (span.service, span.meta) == ("web", {"a": "\ufffdx"})
    for length in (3, 40, 300, 70_000):
        text = "n" * length
        body = v04([wire_span(name=text)]).replace(text.encode(), b"\xff" * length)
        ((span,), _) = read_all(decode_v04, body)
        assert span.name == "\ufffd" * length


def test_span_as_an_array_of_fields_is_read() -> None:
    fields = ["web", "request", "GET /", 1, 2, 0, 5, 6, 1, {"a": "b"}, {"c": 1}, "http"]
    ((span,), _) = read_all(decode_v04, v04([fields]))
    assert as_map(span) == wire_span(start=5, duration=6, error=1, meta={"a": "b"}, metrics={"c": 1.0}, type="http")


def test_links_events_and_meta_struct_are_read() -> None:
    link = {
        "trace_id": 1,
        "trace_id_high": 2,
        "span_id": 3,
        "attributes": {"a": "b"},
        "tracestate": "t",
        "flags": 2**31 + 1,
    }
    event = {
        "time_unix_nano": 5,
        "name": "e",
        "attributes": {
            "s": {"type": 0, "string_value": "x"},
            "b": {"type": 1, "bool_value": True},
            "i": {"type": 2, "int_value": -4},
            "d": {"type": 3, "double_value": 2.5},
            "a": {
                "type": 4,
                "array_value": {"values": [{"type": 0, "string_value": "y"}, {"type": 2, "int_value": 1}]},
            },
        },
    }
    sent = wire_span(span_links=[link], span_events=[event], meta_struct={"m": b"\x81\xa1a\x01"})
    for body in (v04([sent]), v04([{**sent, "type": None}])):  # the strict decoder, and the tolerant one
        ((span,), malformed) = read_all(decode_v04, body)
        assert malformed == 0
        assert span.span_links is not None
        assert msgspec.to_builtins(span.span_links) == [link]
        assert span.span_events is not None
        found = span.span_events[0]
        assert (found.time_unix_nano, found.name) == (5, "e")
        assert found.attributes["s"].string_value == "x"
        assert found.attributes["b"].bool_value is True
        assert found.attributes["i"].int_value == -4
        assert found.attributes["d"].double_value == 2.5
        array = found.attributes["a"].array_value
        assert array is not None
        assert [value.string_value for value in array.values] == ["y", ""]
        assert span.meta_struct == {"m": b"\x81\xa1a\x01"}


def test_link_has_defaults_but_for_its_ids() -> None:
    ((span,), _) = read_all(
        decode_v04, v04([wire_span(span_links=[{"trace_id": 1, "span_id": 2, "tracestate": None}])])
    )
    assert span.span_links is not None
    assert (span.span_links[0].flags, span.span_links[0].trace_id_high, span.span_links[0].attributes) == (0, 0, {})
    ((span,), _) = read_all(decode_v04, v04([wire_span(span_links=[{"trace_id": 1}])]))
    assert span.span_links == [SpanLink(trace_id=1, span_id=0)]


@pytest.mark.parametrize("wire_form", ["v0.4", "v0.7", "JSON"])
def test_links_events_and_entries_are_mended_or_left_out_alone(wire_form: str) -> None:
    event: dict[str, Any] = {
        "time_unix_nano": 1.795e18,
        "name": "e",
        "attributes": {
            "whole": {"type": 2, "int_value": 5.0},
            "unknown": {"type": 9, "string_value": "x"},
            "text": "plain",
            "number": 3,
            "list": [1, True, {}, [1]],
            "array": {"type": 4, "array_value": {"values": [{"type": 2, "int_value": 1.0}, {"type": 7}]}},
            "good": {"type": 0, "string_value": "y"},
        },
    }
    link = {"trace_id": 1.0, "span_id": 2, "flags": 1.0, "attributes": {"n": 1, "b": True, "s": "t"}}
    sent = wire_span(
        span_events=[event, {"time_unix_nano": "now"}, 7, {"name": "last"}],
        span_links=[link, {"trace_id": "none"}, None, {"trace_id": 3}],
        meta_struct={"map": {"a": 1}, "number": 1},
    )
    match wire_form:
        case "JSON":
            (part,) = decode_json(msgspec.json.encode([[sent]]))
        case "v0.7":
            (part,) = decode_v07(msgspec.msgpack.encode({"chunks": [{"spans": [sent]}]})).parts
        case _:
            (part,) = decode_v04(v04([sent]))
    ((span,), malformed) = part.read.spans, part.read.malformed
    assert malformed == 0
    assert span.meta_struct == {"map": b"\x81\xa1a\x01"}
    assert span.span_links == [
        SpanLink(trace_id=1, span_id=2, flags=1, attributes={"n": "1", "b": "true", "s": "t"}),
        SpanLink(trace_id=3, span_id=0),
    ]
    assert span.span_events is not None
    first, last = span.span_events
    assert (first.time_unix_nano, first.name, last.name) == (1_795_000_000_000_000_000, "e", "last")
    assert first.attributes == {
        "whole": AttributeValue(type=2, int_value=5),
        "text": AttributeValue(string_value="plain"),
        "number": AttributeValue(type=2, int_value=3),
        "list": AttributeValue(
            type=4,
            array_value=ArrayValue(
                values=[ScalarValue(type=2, int_value=1), ScalarValue(type=1, bool_value=True), ScalarValue()]
            ),
        ),
        "array": AttributeValue(type=4, array_value=ArrayValue(values=[ScalarValue(type=2, int_value=1)])),
        "good": AttributeValue(string_value="y"),
    }


@pytest.mark.parametrize("rest", [b"\xc1\xc1", b"\x00", b"\x90", b"\xdd\xff"])
def test_bytes_behind_the_traces_are_not_looked_at(rest: bytes) -> None:
    ((span,), malformed) = read_all(decode_v04, v04([wire_span()]) + rest)
    assert (span.span_id, malformed) == (2, 0)


def test_last_of_repeated_keys_counts() -> None:
    body = b"\x91\x91\x84\xa8trace_id\x01\xa7span_id\x02\xa4name\xa1a\xa4name\xa1b"
    ((span,), _) = read_all(decode_v04, body)
    assert span.name == "b"


@pytest.mark.parametrize("element", [b"\x90", b"\x80", b"\x91\x80", b"\xc0"])
def test_millions_of_tiny_elements_are_refused_before_they_become_objects(element: bytes) -> None:
    count = 200_000
    with pytest.raises(MalformedInput, match="200000 elements"):
        decode_v04(b"\xdd" + count.to_bytes(4, "big") + element * count)
    with pytest.raises(MalformedInput):
        decode_v04(b"\x91\xdd" + count.to_bytes(4, "big") + element * count)
    with pytest.raises(MalformedInput):
        decode_v05(b"\x92\xdd" + count.to_bytes(4, "big") + b"\xa0" * count + b"\x90")


def test_smallest_spans_that_can_be_are_never_too_many() -> None:
    tiny = [{"trace_id": 1, "span_id": 2}] * 20_000
    found, malformed = read(decode_v04, v04([wire_span(resource="r" * 100_000)], tiny, *[[each] for each in tiny]))
    assert ([len(found[0]), len(found[1]), len(found)], malformed) == ([1, 20_000, 20_002], 0)
    body = msgspec.msgpack.encode([[""], [[[0, 0, 0, 1, 2, 0, 0, 0, 0, {}, {}, 0]] * 20_000]])
    (found, malformed) = read(decode_v05, body)
    assert (len(found[0]), malformed) == (20_000, 0)


# --- v0.5 --------------------------------------------------------------------------------------------------------------

example_strings = [
    "baggage", "item", "elasticsearch.version", "7.0", "my-name", "X", "my-service", "my-resource",
    "_dd.sampling_rate_whatever", "value whatever", "sql",
]  # fmt: skip
example_span = [6, 4, 7, 1, 2, 3, 123, 456, 1, {8: 9, 0: 1, 2: 3}, {5: 1.2}, 10]


def test_published_v05_example_is_read() -> None:
    ((span,), _) = read_all(decode_v05, msgspec.msgpack.encode([example_strings, [[example_span]]]))
    assert as_map(span) == {
        "service": "my-service",
        "name": "my-name",
        "resource": "my-resource",
        "trace_id": 1,
        "span_id": 2,
        "parent_id": 3,
        "start": 123,
        "duration": 456,
        "error": 1,
        "meta": {"_dd.sampling_rate_whatever": "value whatever", "baggage": "item", "elasticsearch.version": "7.0"},
        "metrics": {"X": 1.2},
        "type": "sql",
    }


@pytest.mark.parametrize("place", [0, 1, 2, 11])
@pytest.mark.parametrize("index", [11, 2**32, -1, "x", 1.5])
def test_index_outside_the_dictionary_makes_a_span_malformed(place: int, index: Any) -> None:
    bad = [*example_span]
    bad[place] = index
    assert read_all(decode_v05, msgspec.msgpack.encode([example_strings, [[bad]]])) == ([], 1)


@pytest.mark.parametrize("meta", [{11: 0}, {0: 11}, {-1: 0}, {"0": 1}, [], 0])
def test_bad_index_in_meta_makes_a_span_malformed(meta: Any) -> None:
    bad = [*example_span[:9], meta, *example_span[10:]]
    assert read_all(decode_v05, msgspec.msgpack.encode([example_strings, [[bad]]])) == ([], 1)


@pytest.mark.parametrize("span", [example_span[:11], [*example_span, 1], {}, "text", None])
def test_v05_span_has_twelve_elements(span: Any) -> None:
    found, malformed = read_all(decode_v05, msgspec.msgpack.encode([example_strings, [[span, example_span]]]))
    assert (len(found), malformed) == (1, 1)


@pytest.mark.parametrize("body", [[], [[]], [[], [], []], [{}, []], [["a"], {}], [["a", 1], []]])
def test_v05_request_is_a_pair_of_a_dictionary_of_strings_and_traces(body: Any) -> None:
    with pytest.raises(MalformedInput):
        decode_v05(msgspec.msgpack.encode(body))


def test_nil_bytes_and_broken_utf8_in_the_dictionary_are_mended() -> None:
    strings = ["web", None, b"bytes", "xx"]
    body = msgspec.msgpack.encode([strings, [[[0, 2, 3, 1, 2, 3, 1, 1, 0, None, None, 1]]]]).replace(b"xx", b"\xff\xff")
    ((span,), malformed) = read_all(decode_v05, body)
    assert (span.service, span.name, span.resource, span.type) == ("web", "bytes", "\ufffd\ufffd", "")
    assert (span.meta, span.metrics, malformed) == ({}, {}, 0)
