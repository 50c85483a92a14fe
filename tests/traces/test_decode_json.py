"""JSON bodies: read as their MessagePack twins are."""

from __future__ import annotations

import base64
import json
import math
import re
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


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (r"cut \ud83d", "cut \ufffd"),
        (r"\uDE00 cut", "\ufffd cut"),
        (r"\ud83d\ud83d\ude00\uDE00", "\ufffd\N{GRINNING FACE}\ufffd"),
        (r"\ud83d\\ude00", "\ufffd\\ude00"),
        (r"\\ud83d\ud83d", "\\ud83d\ufffd"),
        (r"\\\ud83d\n\u00e9", "\\\ufffd\n\u00e9"),
        (r"\ud83d\u0041", "\ufffdA"),
    ],
)
def test_half_of_a_surrogate_pair_is_mended(written: str, read_as: str) -> None:
    good = msgspec.json.encode(wire_span(resource="\N{GRINNING FACE}"))
    bad = msgspec.json.encode(wire_span(resource="xxxx", meta={"xxxx": "a"})).replace(b"xxxx", written.encode())
    (first, second), malformed = read(b"[[%b],[%b]]" % (good, bad))
    assert (first.resource, malformed) == ("\N{GRINNING FACE}", 0)
    assert (second.resource, second.meta) == (read_as, {read_as: "a"})


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["\ud83d", "\ude00", "\\", "u", "d83d", "a", "\n"]), max_size=12).map("".join))
def test_mended_as_a_tolerant_decoder_would(sent: str) -> None:
    body = json.dumps([[{"trace_id": 1, "span_id": 2, "name": sent}]]).encode()
    (found,), malformed = read(body)
    paired = sent.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert (found.name, malformed) == (re.sub("[\ud800-\udfff]", "\ufffd", paired), 0)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 26, b"-" + b"9" * 26, b"9" * 400, b"9" * 5000, b"1.5"])
def test_unusable_duration_is_zero(number: bytes) -> None:
    (found,), malformed = read(b'[[{"trace_id":1,"span_id":2,"name":"x","duration":%b}]]' % number)
    assert (found.name, found.duration, malformed) == ("x", 0, 0)


@pytest.mark.parametrize("number", [b"1e999", b"9" * 26, b"-" + b"9" * 5000, b"18446744073709551615"])
def test_start_out_of_range_becomes_the_time_of_arrival(number: bytes) -> None:
    (found,), malformed = read(b'[[{"trace_id":1,"span_id":2,"name":"x","start":%b}]]' % number)
    assert (found.name, found.start, malformed) == ("x", 0, 0)


def test_large_numbers_beside_others_are_the_nearest_floats() -> None:
    body = b'[[{"trace_id":18446744073709551615,"span_id":2,"metrics":{"a":1%b,"b":-1%b,"c":2},"name":"\xff"}]]'
    (found,), malformed = read(body % (b"0" * 26, b"0" * 400))
    assert (found.metrics, malformed) == ({"a": 1e26, "b": -math.inf, "c": 2.0}, 0)
    assert (found.trace_id, found.name) == (2**64 - 1, "\ufffd")


@pytest.mark.parametrize("number", [b"18446744073709551616", b"9" * 400, b"1e999"])
def test_id_out_of_range_costs_its_span(number: bytes) -> None:
    assert read(b'[[{"trace_id":1,"span_id":%b}]]' % number) == ([], 1)


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
