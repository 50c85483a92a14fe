"""v0.7: the spans of v0.4 in chunks, beside a description of the tracer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_traces.agent.decode_v07 import decode_v07
from ddx_traces.parts import PayloadFields
from ddx_traces.span import Span

from .support import wire_span, wire_trace
from .test_decode import field_names, traces, values


def v07(*chunks: Any, **fields: Any) -> bytes:
    return msgspec.msgpack.encode({**fields, "chunks": chunks})


def read(body: bytes) -> tuple[list[Span], int]:
    parts = list(decode_v07(body).parts)
    return [each for part in parts for each in part.read.spans], sum(part.read.malformed for part in parts)


def test_the_tracer_is_told() -> None:
    told = {
        "container_id": "c1",
        "language_name": "go",
        "language_version": "1.22",
        "tracer_version": "v1.60",
        "runtime_id": "r1",
        "env": "prod",
        "hostname": "h",
        "app_version": "7",
    }
    assert decode_v07(v07(**told, container_debug={"a": 1}, unknown=[1])).fields == PayloadFields(
        container_id="c1",
        language="go",
        language_version="1.22",
        tracer_version="v1.60",
        runtime_id="r1",
        env="prod",
        hostname="h",
        app_version="7",
    )


def test_fields_of_the_chunk_go_to_its_root() -> None:
    child, root = wire_span(span_id=3, parent_id=2), wire_span(span_id=2)
    (got_child, got_root), _ = read(
        v07(
            {
                "priority": 2,
                "origin": "rum",
                "spans": [child, root],
                "tags": {"_dd.p.dm": "-4"},
                "dropped_trace": False,
            },
            tags={"team": "x"},
        )
    )
    assert got_root.meta == {"_dd.origin": "rum", "_dd.p.dm": "-4", "team": "x"}
    assert got_root.metrics == {"_sampling_priority_v1": 2.0}
    assert (got_child.meta, got_child.metrics) == ({"_dd.origin": "rum"}, {})


def test_what_the_root_says_itself_stands_but_for_the_priority() -> None:
    root = wire_span(meta={"_dd.origin": "own"}, metrics={"_sampling_priority_v1": 1})
    ((found,), _) = read(v07({"priority": -1, "origin": "other", "spans": [root]}))
    assert (found.meta["_dd.origin"], found.metrics["_sampling_priority_v1"]) == ("own", -1)


@settings(max_examples=50)
@given(sent=traces)
def test_what_was_sent_is_read(sent: list[list[dict[str, Any]]]) -> None:
    found, malformed = read(v07(*({"priority": -128, "spans": each} for each in sent)))
    assert malformed == 0
    assert [msgspec.to_builtins(each) for each in found] == [
        {**each, "meta_struct": None, "span_links": None, "span_events": None} for trace in sent for each in trace
    ]


@settings(max_examples=50)
@given(
    st.lists(st.dictionaries(field_names, values, max_size=5) | values, max_size=3),
    st.dictionaries(st.sampled_from(["priority", "origin", "tags", "spans"]), values, max_size=2),
    st.dictionaries(st.sampled_from(["env", "tags", "hostname", "chunks"]), values, max_size=2),
)
def test_any_values_are_spans_or_malformed(
    spans: list[Any], of_chunk: dict[str, Any], of_request: dict[str, Any]
) -> None:
    body = {"chunks": [{"spans": spans, **of_chunk}], **of_request}
    try:
        opened = decode_v07(msgspec.msgpack.encode(body))
    except MalformedInput:
        return
    for part in opened.parts:
        assert all(isinstance(value, str) for each in part.read.spans for value in each.meta.values())


def test_bad_span_costs_itself_alone() -> None:
    found, malformed = read(v07({"spans": [wire_span(), wire_span(name=7), 5, *wire_trace(1, 2)]}))
    assert (len(found), malformed) == (3, 2)


def test_nil_is_nothing() -> None:
    assert read(v07({"spans": None}, {})) == ([], 0)
    assert read(msgspec.msgpack.encode({"chunks": None, "env": None, "tags": None})) == ([], 0)
    assert read(b"\x80") == ([], 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x90",
        b"\xdf\xff\xff\xff\xff",
        v07({"spans": 7}),
        v07({"priority": "x"}),
        v07({"priority": 2**40}),
        v07(7),
        v07({"tags": {"a": 1}}),
        msgspec.msgpack.encode({"chunks": 7}),
        b"\x81\xa6chunks\xdd\x00\xff\xff\xff" + b"\x80" * 1000,
        b"\x81\xa6chunks" + b"\x91" * 100_000,
    ],
)
def test_what_is_wrong_around_the_spans_refuses_the_request(body: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode_v07(body)
