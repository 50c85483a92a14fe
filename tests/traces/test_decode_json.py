"""JSON bodies: read as their MessagePack twins are."""

from __future__ import annotations

import base64
import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_traces.agent import decode_v04
from ddx_traces.agent.body import BodyTooLarge
from ddx_traces.agent.decode_json import decode_json, looks_like_json, max_json_bytes
from ddx_traces.span import Span

from .support import v04, wire_span
from .test_decode import field_names, texts, traces


def read(body: bytes) -> tuple[list[Span], int]:
    parts = list(decode_json(body))
    return [each for part in parts for each in part.read.spans], sum(part.read.malformed for part in parts)


@settings(max_examples=50)
@given(sent=traces)
def test_the_same_as_messagepack(sent: list[list[dict[str, Any]]]) -> None:
    for each in (each for trace in sent for each in trace):  # JSON has no infinity
        each["metrics"] = {key: value for key, value in each["metrics"].items() if math.isfinite(value)}
    found, malformed = read(msgspec.json.encode(sent))
    assert (found, malformed) == ([each for part in decode_v04(v04(*sent)) for each in part.read.spans], 0)


def test_binary_values_are_base64() -> None:
    body = msgspec.json.encode([[wire_span(meta_struct={"a": base64.b64encode(b"\x81\x01\x02").decode()})]])
    (found,), malformed = read(body)
    assert (found.meta_struct, malformed) == ({"a": b"\x81\x01\x02"}, 0)


@pytest.mark.parametrize("bad", [{"a": 1}, {"a": "%"}, [1]])
def test_binary_value_that_is_none_costs_itself_alone(bad: Any) -> None:
    (found,), malformed = read(msgspec.json.encode([[wire_span(meta_struct=bad)]]))
    assert (found.span_id, found.meta_struct, malformed) == (2, None, 0)


@pytest.mark.parametrize(
    "bad",
    [
        b'{"trace_id":18446744073709551616,"span_id":1}',
        b'{"trace_id":1,"span_id":-1}',
        b'{"trace_id":"1","span_id":1}',
        b'{"trace_id":1,"span_id":1,"error":1e400}',
        b'{"trace_id":1,"span_id":1,"meta":[[[[1]]]]}',
        b'"span"',
        b"null",
    ],
)
def test_bad_span_costs_itself_alone(bad: bytes) -> None:
    good = msgspec.json.encode(wire_span())
    found, malformed = read(b"[[%b,%b,%b]]" % (good, bad, good))
    assert (len(found), malformed) == (2, 1)


def test_nil_and_repeated_keys_are_as_in_messagepack() -> None:
    body = b'[[{"trace_id":1,"span_id":2,"service":null,"meta":{"a":null,"b":"1","b":"2"},"name":"x","name":"y"}],null]'
    with pytest.raises(MalformedInput):
        decode_json(body)
    (found,), _ = read(body.replace(b",null]", b"]"))
    assert (found.service, found.meta, found.name) == ("", {"b": "2"}, "y")
    assert read(b"null") == ([], 0)


def test_broken_text_is_mended() -> None:
    (found,), malformed = read(msgspec.json.encode([[wire_span(service="xxxx")]]).replace(b"xxxx", b"x\xffx\xe2"))
    assert (found.service, malformed) == ("x\ufffdx\ufffd", 0)


@settings(max_examples=50)
@given(body=st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
@example(b"[" * 100_000)
@example(b'[[{"meta":' + b"[" * 100_000)
@example(b"[[" + b"1," * 100_000 + b"1]]")
def test_any_bytes_are_spans_or_malformed(body: bytes) -> None:
    try:
        parts = decode_json(body)
    except MalformedInput:
        return
    for part in parts:
        assert part.read.malformed >= 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.lists(st.lists(st.dictionaries(field_names, json_values, max_size=6) | json_values, max_size=3), max_size=3))
def test_any_values_in_the_place_of_spans_are_spans_or_malformed(sent: list[Any]) -> None:
    for part in decode_json(msgspec.json.encode(sent)):
        for each in part.read.spans:
            assert 0 <= each.trace_id < 2**64
            assert all(isinstance(value, str) for value in each.meta.values())


def test_too_many_bytes_or_values_are_refused() -> None:
    with pytest.raises(BodyTooLarge):
        decode_json(b"[" + b" " * max_json_bytes + b"]")
    with pytest.raises(MalformedInput):
        decode_json(b"[[" + b"{}," * 100_000 + b"{}]]")


@pytest.mark.parametrize(("body", "is_json"), [(b"[]", True), (b" \n[[", True), (b"\x90", False), (b"", False)])
def test_json_is_told_from_messagepack(body: bytes, is_json: bool) -> None:
    assert looks_like_json(body) is is_json
