"""Reads agent payloads without the library that wrote them: the wire format and the published field numbers, nothing else.

Every field that is on the wire must be known here, and a singular field must be there once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

# Field number → name and kind. `string[]` is repeated, `map:X` a map from string to X, a capital letter another message.
messages: dict[str, dict[int, tuple[str, str]]] = {
    "AgentPayload": {
        1: ("hostName", "string"),
        2: ("env", "string"),
        5: ("tracerPayloads", "TracerPayload[]"),
        6: ("tags", "map:string"),
        7: ("agentVersion", "string"),
        8: ("targetTPS", "double"),
        9: ("errorTPS", "double"),
        10: ("rareSamplerEnabled", "bool"),
    },
    "TracerPayload": {
        1: ("containerID", "string"),
        2: ("languageName", "string"),
        3: ("languageVersion", "string"),
        4: ("tracerVersion", "string"),
        5: ("runtimeID", "string"),
        6: ("chunks", "TraceChunk[]"),
        7: ("tags", "map:string"),
        8: ("env", "string"),
        9: ("hostname", "string"),
        10: ("appVersion", "string"),
    },
    "TraceChunk": {
        1: ("priority", "int"),
        2: ("origin", "string"),
        3: ("spans", "Span[]"),
        4: ("tags", "map:string"),
        5: ("droppedTrace", "bool"),
    },
    "Span": {
        1: ("service", "string"),
        2: ("name", "string"),
        3: ("resource", "string"),
        4: ("traceID", "uint"),
        5: ("spanID", "uint"),
        6: ("parentID", "uint"),
        7: ("start", "int"),
        8: ("duration", "int"),
        9: ("error", "int"),
        10: ("meta", "map:string"),
        11: ("metrics", "map:double"),
        12: ("type", "string"),
        13: ("meta_struct", "map:bytes"),
        14: ("spanLinks", "SpanLink[]"),
        15: ("spanEvents", "SpanEvent[]"),
    },
    "SpanLink": {
        1: ("traceID", "uint"),
        2: ("traceID_high", "uint"),
        3: ("spanID", "uint"),
        4: ("attributes", "map:string"),
        5: ("tracestate", "string"),
        6: ("flags", "uint"),
    },
    "SpanEvent": {
        1: ("time_unix_nano", "fixed64"),
        2: ("name", "string"),
        3: ("attributes", "map:AttributeAnyValue"),
    },
    "AttributeAnyValue": {
        1: ("type", "uint"),
        2: ("string_value", "string"),
        3: ("bool_value", "bool"),
        4: ("int_value", "int"),
        5: ("double_value", "double"),
        6: ("array_value", "AttributeArray"),
    },
    "AttributeArray": {1: ("values", "AttributeArrayValue[]")},
    "AttributeArrayValue": {
        1: ("type", "uint"),
        2: ("string_value", "string"),
        3: ("bool_value", "bool"),
        4: ("int_value", "int"),
        5: ("double_value", "double"),
    },
}

zeros: dict[str, Any] = {"string": "", "bytes": b"", "bool": False, "uint": 0, "int": 0, "double": 0.0, "fixed64": 0}
wire_types = {"uint": 0, "int": 0, "bool": 0, "double": 1, "fixed64": 1}


def read_agent_payload(body: bytes) -> dict[str, Any]:
    return read_message("AgentPayload", body)


def read_message(kind: str, body: bytes) -> dict[str, Any]:
    """Every field of the message, absent ones with their zero value (messages: None)."""
    fields = messages[kind]
    found: dict[str, Any] = {}
    for name, what in fields.values():
        found[name] = [] if what.endswith("[]") else {} if what.startswith("map:") else zeros.get(what)
    seen: set[int] = set()
    for number, wire_type, raw in _fields(body):
        name, what = fields[number]
        if what.endswith("[]"):
            found[name].append(_value(what[:-2], wire_type, raw))
        elif what.startswith("map:"):
            assert wire_type == 2
            key, value = _entry(what[4:], raw)
            assert key not in found[name], f"{key} is there twice"
            found[name][key] = value
        else:
            assert number not in seen, f"{kind}.{name} is there twice"
            seen.add(number)
            found[name] = _value(what, wire_type, raw)
    return found


def _entry(what: str, raw: bytes) -> tuple[str, Any]:
    key = ""
    value = zeros[what] if what in zeros else read_message(what, b"")
    for number, wire_type, inner in _fields(raw):
        if number == 1:
            key = _value("string", wire_type, inner)
        else:
            assert number == 2
            value = _value(what, wire_type, inner)
    return key, value


def _value(what: str, wire_type: int, raw: Any) -> Any:
    assert wire_type == wire_types.get(what, 2)
    match what:
        case "string":
            return raw.decode("utf-8")
        case "bytes" | "uint" | "fixed64":
            return raw
        case "bool":
            return bool(raw)
        case "int":
            return raw - (1 << 64) if raw >= 1 << 63 else raw
        case "double":
            return struct.unpack("<d", raw.to_bytes(8, "little"))[0]
        case _:
            return read_message(what, raw)


def _fields(body: bytes) -> Iterator[tuple[int, int, Any]]:
    at = 0
    while at < len(body):
        key, at = _varint(body, at)
        match key & 7:
            case 0:
                value, at = _varint(body, at)
                yield key >> 3, 0, value
            case 1:
                yield key >> 3, 1, int.from_bytes(body[at : at + 8], "little")
                at += 8
            case 2:
                length, at = _varint(body, at)
                assert at + length <= len(body)
                yield key >> 3, 2, body[at : at + length]
                at += length
            case other:
                raise AssertionError(f"wire type {other}")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = 0
    shift = 0
    while True:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
