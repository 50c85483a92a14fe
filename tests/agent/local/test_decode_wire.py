"""The protobuf reader against Google's library, against hand-made bytes, and against anything at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.intake.decode import DecodeError, TooLarge, wire
from ddx_agent.local.intake.decode.trace_messages import agent_payload
from tests.agent.local import dynamic_protobuf

scalars: Mapping[str, tuple[wire.Scalar, st.SearchStrategy[Any]]] = {
    "string": (wire.string, st.text(max_size=6)),
    "bytes": (wire.binary, st.binary(max_size=6)),
    "bool": (wire.boolean, st.booleans()),
    "double": (wire.double, st.floats(allow_nan=False)),
    "int32": (wire.int32, st.integers(-(1 << 31), (1 << 31) - 1)),
    "sint32": (wire.sint32, st.integers(-(1 << 31), (1 << 31) - 1)),
    "uint32": (wire.uint32, st.integers(0, (1 << 32) - 1)),
    "int64": (wire.int64, st.integers(-(1 << 63), (1 << 63) - 1)),
    "uint64": (wire.uint64, st.integers(0, (1 << 64) - 1)),
    "fixed64": (wire.fixed_uint64, st.integers(0, (1 << 64) - 1)),
}


def reader_of(tables: Mapping[str, Mapping[str, str]], name: str) -> wire.Message[dict[str, Any]]:
    """A reader that gives dictionaries, made from the table that Google's messages are made from."""
    shapes = {
        each: wire.Message[dict[str, Any]](dict, oneof=any(kind.endswith("?") for kind in fields.values()))
        for each, fields in tables.items()
    }
    for each, fields in tables.items():
        for field, text in fields.items():
            number, _, kind = text.partition(" ")
            kind = kind.rstrip("?")
            types = [shapes[part] if part in shapes else scalars[part][0] for part in kind.rstrip("[]{}").split(",")]
            if kind.endswith("{}"):
                assert isinstance(types[0], wire.Scalar)
                shapes[each].add(int(number), wire.mapping(field, types[0], types[1]))
            else:
                shapes[each].add(int(number), wire.Field(field, types[0], repeated=kind.endswith("[]")))
    return shapes[name]


def contents(tables: Mapping[str, Mapping[str, str]], name: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Field values for one message, nested ones included down to a few levels."""

    def one(kind: str) -> st.SearchStrategy[Any]:
        return contents(tables, kind, depth + 1) if kind in tables else scalars[kind][1]

    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field, text in tables[name].items():
        kind = text.partition(" ")[2].rstrip("?")
        types = kind.rstrip("[]{}").split(",")
        if depth > 3 and types[-1] in tables:
            continue
        if kind.endswith("{}"):
            fields[field] = st.dictionaries(one(types[0]), one(types[1]), max_size=2)
        elif kind.endswith("[]"):
            fields[field] = st.lists(one(types[0]), max_size=2)
        else:
            fields[field] = one(types[0])
    if any(text.endswith("?") for text in tables[name].values()):
        alternatives = [st.fixed_dictionaries({field: value}) for field, value in fields.items()]
        return st.one_of(st.just(dict[str, Any]()), *alternatives)
    return st.fixed_dictionaries({}, optional=fields)


def set_fields(message: Any) -> dict[str, Any]:
    """What Google's library says is in a message: every field that is set, none that has its default."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            nested = field.message_type.fields_by_name["value"].message_type is not None
            found[field.name] = {key: set_fields(value[key]) if nested else value[key] for key in value}
        elif field.is_repeated:
            found[field.name] = tuple(set_fields(each) if field.message_type is not None else each for each in value)
        else:
            found[field.name] = set_fields(value) if field.message_type is not None else value
    return found


@pytest.mark.parametrize(
    ("tables", "name"),
    [
        (dynamic_protobuf.agent, "Span"),
        (dynamic_protobuf.agent, "IdxSpan"),
        (dynamic_protobuf.metrics, "MetricPayload"),
        (dynamic_protobuf.metrics, "SketchPayload"),
        (dynamic_protobuf.stats, "DDSketch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reads_what_googles_library_writes(tables: Mapping[str, Mapping[str, str]], name: str) -> None:
    reader = reader_of(tables, name)

    @given(contents(tables, name))
    @settings(max_examples=15, deadline=None)
    def check(fields: dict[str, Any]) -> None:
        message = dynamic_protobuf.message(name, fields)
        assert wire.read_message(reader, message.SerializeToString()) == set_fields(message)

    check()


@given(st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_bytes_give_a_value_or_a_decode_error(data: bytes) -> None:
    with_error(lambda: wire.read_message(agent_payload, data))


valid = dynamic_protobuf.encoded(
    "AgentPayload",
    {
        "tags": {"a": "b"},
        "tracerPayloads": [
            {"chunks": [{"priority": -1, "spans": [{"name": "x", "meta": {"k": "v"}, "metrics": {"m": 1.5}}]}]}
        ],
        "idxTracerPayloads": [
            {"strings": ["", "a"], "attributes": {1: {"arrayValue": {"values": [{"stringValueRef": 1}]}}}}
        ],
    },
)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_damaged_payloads_give_a_value_or_a_decode_error(data: st.DataObject) -> None:
    damaged = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with_error(lambda: wire.read_message(agent_payload, bytes(damaged)))


def test_every_cut_of_a_payload_gives_a_value_or_a_decode_error() -> None:
    for end in range(len(valid)):
        with_error(lambda end=end: wire.read_message(agent_payload, valid[:end]))


def with_error(read: Any) -> None:
    with suppress(DecodeError):
        read()


class Probe(msgspec.Struct, frozen=True):
    number: int = 0
    text: str = ""
    inner: Probe | None = None
    numbers: tuple[int, ...] = ()
    table: dict[str, int] = {}


probe = wire.Message(
    Probe,
    {
        1: wire.one("number", wire.int64),
        2: wire.one("text", wire.string),
        4: wire.many("numbers", wire.uint32),
        5: wire.mapping("table", wire.string, wire.int32),
    },
)
probe.add(3, wire.one("inner", probe))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("", Probe()),
        ("0805 0806", Probe(number=6)),
        ("08ffffffffffffffffff01", Probe(number=-1)),
        ("8800 05", Probe(number=5)),
        ("1a020805 1a03120178", Probe(inner=Probe(number=5, text="x"))),
        ("2201 05 2003 22020102", Probe(numbers=(5, 3, 1, 2))),
        ("2a00", Probe(table={"": 0})),
        ("2a050a01611001 2a050a01611002", Probe(table={"a": 2})),
        ("2a04100a0a00", Probe(table={"": 10})),
        ("3d01020304 31 0102030405060708 3a03616263 4801", Probe()),
        ("43 0801 4b 4c 44 0807", Probe(number=7)),
    ],
    ids=[
        "nothing", "the last one wins", "negative", "a tag longer than needed", "a message in two parts is merged",
        "packed and unpacked mixed", "an empty map entry", "a key again", "value before key", "unknown fields",
        "nested groups",
    ],
)  # fmt: skip
def test_reads_every_form_the_format_allows(data: str, value: Probe) -> None:
    assert wire.read_message(probe, bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("08", "cut short"),
        ("0880", "cut short"),
        ("08ffffffffffffffffffff01", "longer than ten bytes"),
        ("08ffffffffffffffffff7f", "more than 64 bits"),
        ("1205616263", "5 bytes announced"),
        ("12ffffffffffffffffff01", "announced"),
        ("1202c328", "no UTF-8"),
        ("0a0101", "wire type 2"),
        ("1005", "wire type 0"),
        ("2a020805", "wire type 0"),
        ("0001", "field number 0"),
        ("44", "makes no sense"),
        ("0f", "wire type 7"),
        ("43", "a group is cut short"),
        ("410102", "cut short"),
        ("2a0a", "announced"),
    ],
)
def test_refuses_what_the_format_forbids(data: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        wire.read_message(probe, bytes.fromhex(data))


def test_nesting_is_limited() -> None:
    data = b""
    for _ in range(wire.max_depth):
        data = b"\x1a" + varint(len(data)) + data
    assert wire.read_message(probe, data)
    with pytest.raises(DecodeError, match="nested deeper"):
        wire.read_message(probe, b"\x1a" + varint(len(data)) + data)
    with pytest.raises(DecodeError, match="nested deeper"):
        wire.read_message(probe, b"\x43" * 1000)


def test_the_number_of_values_is_limited() -> None:
    run = b"\x01" * (wire.max_values + 1)
    with pytest.raises(TooLarge):
        wire.read_message(probe, b"\x22" + varint(len(run)) + run)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
