"""v1.0: streaming strings, typed attributes, what stands on the chunk. The golden request is a real tracer's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_traces import parts as parts_module
from ddx_traces.agent.decode_v1 import decode_v1
from ddx_traces.agent.strings_v1 import max_skipped
from ddx_traces.parts import PayloadFields
from ddx_traces.span import Span, SpanEvent, SpanLink

from . import golden_go_v1
from .v1_writer import v1

trace_id = bytes(range(1, 17))
lower, upper = int.from_bytes(trace_id[8:], "big"), int.from_bytes(trace_id[:8], "big")


def chunk(*spans: Any, **fields: Any) -> dict[int, Any]:
    return {6: trace_id, 4: list(spans), **{int(key[1:]): value for key, value in fields.items()}}


def span(span_id: int = 1, **fields: Any) -> dict[int, Any]:
    return {1: "web", 2: "request", 3: "GET /", 4: span_id, **{int(key[1:]): value for key, value in fields.items()}}


def read(body: bytes) -> tuple[list[Span], int]:
    parts = list(decode_v1(body).parts)
    return [each for part in parts for each in part.read.spans], sum(part.read.malformed for part in parts)


def read_one(**fields: Any) -> Span:
    (found,), malformed = read(v1(chunk(span(**fields))))
    assert malformed == 0
    return found


def test_request_of_a_real_tracer() -> None:
    opened = decode_v1(golden_go_v1.request)
    fields = opened.fields
    assert (fields.language, fields.tracer_version, fields.env, fields.app_version) == (
        "go",
        "v2.12.0",
        "staging",
        "1.2.3",
    )
    assert fields.runtime_id == "a2b2fd8a-465e-4473-881b-d18c805b6b28"
    parts = list(opened.parts)
    assert [part.read.malformed for part in parts] == [0, 0]
    for number, (part, (whole_id, root_id, query_id)) in enumerate(zip(parts, golden_go_v1.ids, strict=True)):
        root, query = part.read.spans
        assert {each.trace_id for each in (root, query)} == {whole_id & (2**64 - 1)}
        assert (root.span_id, root.parent_id, query.span_id, query.parent_id) == (root_id, 0, query_id, root_id)
        assert (root.service, root.name, root.resource, root.type) == ("shop", "web.request", "GET /orders/{id}", "web")
        assert root.meta["_dd.p.tid"] == f"{whole_id >> 64:016x}"
        assert root.meta["_dd.p.dm"] == "-1"
        for key, value in {
            "customer": "Zoë 🐶",
            "span.kind": "server",
            "component": "net/http",
            "env": "staging",
            "flag": "true",
        }.items():
            assert root.meta[key] == value
        assert (root.metrics["items"], root.metrics["whole"]) == (number + 0.5, number)
        assert root.metrics["_sampling_priority_v1"] == 1
        assert "service" not in root.meta
        assert (query.service, query.error, root.error) == ("db", 1, 0)
        (link,) = query.span_links or []
        assert (link.trace_id_high, link.trace_id, link.span_id) == (6, 5, 7)
        assert (link.attributes, link.tracestate, link.flags) == ({"why": "because"}, "dd=s:1", 1)
        (event,) = query.span_events or []
        values = event.attributes
        assert event.name == "evt"
        assert (values["k"].type, values["k"].string_value) == (0, "v")
        assert (values["b"].type, values["b"].bool_value) == (1, True)
        assert (values["n"].type, values["n"].int_value) == (2, 3)
        assert (values["f"].type, values["f"].double_value) == (3, 1.5)
        assert values["l"].array_value is not None
        assert [each.string_value for each in values["l"].array_value.values] == ["x", "y"]


def test_probe_of_a_real_tracer_is_a_request_without_traces() -> None:
    opened = decode_v1(golden_go_v1.probe)
    assert (opened.fields, list(opened.parts)) == (PayloadFields(), [])


texts = st.text(max_size=8)
scalars = st.text(max_size=8) | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1)
attributes = st.dictionaries(texts, scalars | st.binary(max_size=5), max_size=6)
uint64s = st.integers(0, 2**64 - 1)
spans = st.fixed_dictionaries(
    {4: uint64s},
    optional={
        1: texts,
        2: texts,
        3: texts,
        5: uint64s,
        6: st.integers(0, 2**63 - 1),
        7: st.integers(0, 2**63 - 1),
        8: st.booleans(),
        9: attributes,
        10: texts,
    },
)
chunks = st.lists(st.lists(spans, max_size=4), max_size=4)


@settings(max_examples=40)
@given(sent=chunks, data=st.data())
def test_what_was_sent_is_read(sent: list[list[dict[int, Any]]], data: st.DataObject) -> None:
    shuffled = [[dict(data.draw(st.permutations(list(each.items())))) for each in trace] for trace in sent]
    found, malformed = read(v1(*(chunk(*trace) for trace in shuffled)))
    assert malformed == 0
    for wanted, got in zip([each for trace in sent for each in trace], found, strict=True):
        assert (got.service, got.name, got.resource, got.type) == tuple(wanted.get(key, "") for key in (1, 2, 3, 10))
        assert (got.span_id, got.parent_id) == (wanted[4], wanted.get(5, 0))
        assert (got.start, got.duration, got.error) == (wanted.get(6, 0), wanted.get(7, 0), wanted.get(8, 0))
        for key, value in wanted.get(9, {}).items():
            if key == "_dd.p.tid":
                continue
            match value:
                case str():
                    assert got.meta[key] == value
                case bytes():
                    assert got.meta_struct is not None
                    assert got.meta_struct[key] == value
                case _:
                    assert got.metrics[key] == float(value)


@settings(max_examples=40)
@given(sent=chunks, data=st.data())
def test_bytes_cut_short_or_changed_are_spans_or_malformed(
    sent: list[list[dict[int, Any]]], data: st.DataObject
) -> None:
    body = bytearray(v1(*(chunk(*trace) for trace in sent)))
    with pytest.raises(MalformedInput):
        decode_v1(bytes(body[: data.draw(st.integers(0, len(body) - 1))]))
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read_or_malformed(bytes(body))


@settings(max_examples=40)
@given(body=st.binary(max_size=200))
@example(b"\x81\x0b\xdd\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\x81\x0b\x91\x82\x06\xc4\x10" + bytes(16) + b"\x04\xdd\x00\xff\xff\xff")
@example(b"\x81\x0a" + b"\x93\x00\x06" * 20_000 + b"\x90")
@example(b"\x81\x02\x05")
def test_any_bytes_are_spans_or_malformed(body: bytes) -> None:
    read_or_malformed(body)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=17) | texts,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.integers(0, 17) | texts, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40)
@given(
    st.dictionaries(st.integers(1, 17), anything, max_size=8),
    st.dictionaries(st.sampled_from([1, 2, 3, 5, 7, 9]), anything, max_size=3),
    st.dictionaries(st.sampled_from([2, 3, 7, 10, 12]), anything, max_size=2),
)
def test_any_values_are_spans_or_malformed(
    fields: dict[int, Any], of_chunk: dict[int, Any], of_request: dict[int, Any]
) -> None:
    body = {**of_request, 11: [{**of_chunk, 6: trace_id, 4: [fields, {4: 7}]}]}
    read_or_malformed(msgspec.msgpack.encode(body))


def read_or_malformed(body: bytes) -> None:
    try:
        opened = decode_v1(body)
    except MalformedInput:
        return
    for part in opened.parts:  # what raises here raises after the request was taken
        for each in part.read.spans:
            assert all(isinstance(value, str) for value in each.meta.values())
            assert all(isinstance(value, float) for value in each.metrics.values())
            assert 0 <= each.trace_id < 2**64
            assert -(2**63) <= each.start < 2**63


# --- the chunk's fields ------------------------------------------------------------------------------------------------


def test_fields_of_the_chunk_go_to_the_root_wherever_they_stand() -> None:
    fields: dict[int, Any] = {1: 2, 2: "rum", 3: {"team": "x", "size": 3}, 7: 4}
    usual = chunk(span(2, _5=1), span(1))
    for ordered in ({**fields, **usual}, {**usual, **fields}):
        (child, root), _ = read(v1(ordered))
        assert root.meta | {"_dd.p.tid": f"{upper:016x}"} == {
            "_dd.origin": "rum",
            "team": "x",
            "_dd.p.dm": "-4",
            "_dd.p.tid": f"{upper:016x}",
        }
        assert root.metrics == {"_sampling_priority_v1": 2.0, "size": 3.0}
        assert (child.meta, child.metrics) == ({"_dd.origin": "rum"}, {})
        assert root.trace_id == child.trace_id == lower


def test_attributes_of_the_request_go_to_each_root() -> None:
    body = v1(chunk(span(1)), chunk(span(2), _3={"_dd.apm_mode": "own"}), before={10: {"_dd.apm_mode": "edge"}})
    found, _ = read(body)
    assert [each.meta["_dd.apm_mode"] for each in found] == ["edge", "own"]


def test_fields_behind_the_chunks_may_refer_to_their_strings() -> None:
    body = v1(chunk(span(1, _9={"staging": "x"})), before={3: "go"}, after={7: "staging", 9: "x", 4: "new"})
    opened = decode_v1(body)
    assert opened.fields == PayloadFields(language="go", env="staging", app_version="x", language_version="new")
    (part,) = opened.parts
    assert part.read.spans[0].meta["staging"] == "x"


def test_unset_priority_and_empty_origin_tell_nothing() -> None:
    (found,), _ = read(v1({6: bytes(8) + trace_id[8:], 4: [span()], 1: -128, 2: ""}))
    assert (found.meta, found.metrics) == ({}, {})


# --- values ------------------------------------------------------------------------------------------------------------


def test_own_fields_become_tags() -> None:
    found = read_one(_13="prod", _14="1.2", _15="flask", _16=2)
    assert found.meta.items() >= {"env": "prod", "version": "1.2", "component": "flask", "span.kind": "server"}.items()


@pytest.mark.parametrize(
    ("kind", "name"),
    [(0, "internal"), (1, "internal"), (3, "client"), (4, "producer"), (5, "consumer"), (9, "internal")],
)
def test_kinds_have_names(kind: int, name: str) -> None:
    assert read_one(_16=kind).meta["span.kind"] == name


def test_arrays_and_maps_among_a_spans_attributes_are_text() -> None:
    found = read_one(_9={"a": [1, "x", [True]], "m": {"k": 1.5, "l": {}}})
    assert found.meta["a"] == '[1,"x",[true]]'
    assert found.meta["m"] == '{"k":1.5,"l":{}}'


@pytest.mark.parametrize("last", [[1, "text"], [3, 0.5], [4, 2], [5, b"y"]])
@pytest.mark.parametrize("first", [[1, "before"], [3, 1.5], [5, b"x"]])
def test_last_of_attributes_with_one_key_stands(first: list[Any], last: list[Any]) -> None:
    body = msgspec.msgpack.encode({11: [{6: trace_id, 4: [{1: "k", 4: 1, 9: [1, *first, 1, *last]}]}]})
    ((found,), _) = read(body)
    places = (found.meta, found.metrics, found.meta_struct or {})
    assert [place["k"] for place in places if "k" in place] == [last[1]]


def test_string_written_twice_in_full_has_one_number() -> None:
    fields = [b"\x01", b"\xa3web", b"\x02", b"\xa3web", b"\x03", b"\xa1r", b"\x0a", b"\x02", b"\x04", b"\x07"]
    body = b"\x81\x0b\x91\x82\x06\xc4\x10" + trace_id + b"\x04\x91\x85" + b"".join(fields)
    (found,), _ = read(body)
    assert (found.service, found.name, found.resource, found.type) == ("web", "web", "r", "r")


# --- what is wrong -----------------------------------------------------------------------------------------------------


bad_spans: list[dict[int, Any]] = [
    {1: 77, 2: "n1"},  # a number that no string has
    {1: -1},
    {1: "s1", 2: 1.5},
    {4: "no number", 1: "s1"},
    {9: 7, 1: "s1"},
    {99: ["s1", {"s2": "s3"}], 1: True},
]


@pytest.mark.parametrize("bad", bad_spans)
def test_bad_span_costs_itself_alone_and_its_strings_still_count(bad: dict[int, Any]) -> None:
    packed = msgspec.msgpack.encode({**bad, 3: "from the bad one"})
    own = [text for text in ("s1", "n1", "s2", "s3", "no number", "from the bad one") if text.encode() in packed]
    # Strings of the bad span are numbered as its bytes have them; the good one refers to the last of them.
    after = msgspec.msgpack.encode({4: 9, 1: len(own), 2: "later", 3: len(own) + 1})
    body = b"\x81\x0b\x91\x82\x06\xc4\x10" + trace_id + b"\x04\x92" + packed + after
    (found,), malformed = read(body)
    assert malformed == 1
    assert (found.service, found.name, found.resource) == ("from the bad one", "later", "later")


def test_bad_event_link_or_attribute_costs_itself_alone_and_its_strings_still_count() -> None:
    bad = [
        msgspec.msgpack.encode(each)
        for each in (
            {4: 1, 9: ["s1", 9, "s2", "s3", 4, 5.0, "s4", 1, "s5"]},
            {4: 2, 12: [{2: "s6", 1: "s7"}, {1: 1.795e18, 2: "s8"}, 7], 1: 8},
            {4: 3, 11: [{2: "s9"}, {5: 1.0, 2: 5, 4: "s10"}], 1: 10},
            {4: 4, 11: 7, 12: "s11", 1: 11},
        )
    ]
    (first, second, third, fourth), malformed = read(
        b"\x81\x0b\x91\x82\x06\xc4\x10" + trace_id + b"\x04\x94" + b"".join(bad)
    )
    assert malformed == 0
    assert (first.meta["s4"], first.metrics) == ("s5", {"s3": 5.0})
    assert second.span_events == [SpanEvent(time_unix_nano=1_795_000_000_000_000_000, name="s8")]
    assert third.span_links == [SpanLink(span_id=5, flags=1, tracestate="s10")]
    assert (second.service, third.service, fourth.service) == ("s8", "s10", "s11")


def test_broken_text_is_mended() -> None:
    body = v1(chunk(span(1, _9={"key": "xxxx", "other": "yy"}))).replace(b"xxxx", b"x\xffx\xe2")
    (found,), malformed = read(body)
    assert malformed == 0
    assert found.meta["key"] == "x\ufffdx\ufffd"
    assert found.meta["other"] == "yy"


def test_large_span_of_small_values_costs_itself() -> None:
    dense: dict[int, Any] = {4: 1, 50: [[]] * (parts_module.max_values * 2), 51: "y" * parts_module.large_span_bytes}
    (found,), malformed = read(v1(chunk(msgspec.msgpack.encode(dense), {4: 2, 1: "x"})).replace(b"\xa1x", b"\x01"))
    assert (malformed, found.service) == (1, "y" * parts_module.large_span_bytes)


def test_more_to_skip_than_is_worth_it_costs_what_comes_after() -> None:
    dense = msgspec.msgpack.encode({50: [[]] * max_skipped, 4: "no number"})
    found, malformed = read(v1(chunk(span(1), dense, span(2)), chunk(span(3))))
    assert ([each.span_id for each in found], malformed) == ([1], 3)


def test_span_that_is_too_large_is_skipped_and_its_strings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "max_part_bytes", 2000)
    monkeypatch.setattr("ddx_traces.agent.decode_v1.max_span_bytes", 3000)
    body = v1(chunk(span(1, _9={"a": "first"}), span(2, _9={"b": "z" * 4000}), span(3, _9={"b": "first"})), chunk())
    parts = list(decode_v1(body).parts)
    assert sum(part.too_large for part in parts) == 1
    first, last = [each for part in parts for each in part.read.spans]
    assert (first.meta["a"], last.meta["b"], last.service) == ("first", "first", "web")
    assert [part.outline is None for part in parts if part.read.spans or part.too_large] == [False, False, False]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x90",
        v1({4: []}),  # no trace id
        v1({4: [], 6: b"short"}),
        msgspec.msgpack.encode({11: [{4: 7, 6: trace_id}]}),
        msgspec.msgpack.encode({11: 7}),
        msgspec.msgpack.encode({2: 5, 11: []}),
        b"\x82\x02\xa1a\x02\xa1b",  # a key twice
        msgspec.msgpack.encode({"chunks": []}),
    ],
)
def test_what_is_wrong_around_the_spans_refuses_the_request(body: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode_v1(body)
