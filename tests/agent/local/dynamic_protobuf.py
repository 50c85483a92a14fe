"""Protobuf messages made with Google's own library from tables of field numbers: what the intake's reader is checked against.

The tables are written down from the agents' published definitions, a second time and in another form than in the reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_kinds = descriptor_pb2.FieldDescriptorProto.Type

# message → field → "number kind": `[]` repeated, `a,b{}` a map, a capital letter another message, `?` part of a oneof.
agent: Mapping[str, Mapping[str, str]] = {
    "AgentPayload": {
        "hostName": "1 string", "env": "2 string", "tracerPayloads": "5 TracerPayload[]", "tags": "6 string,string{}",
        "agentVersion": "7 string", "targetTPS": "8 double", "errorTPS": "9 double", "rareSamplerEnabled": "10 bool",
        "idxTracerPayloads": "11 IdxTracerPayload[]",
    },
    "TracerPayload": {
        "containerID": "1 string", "languageName": "2 string", "languageVersion": "3 string", "tracerVersion": "4 string",
        "runtimeID": "5 string", "chunks": "6 TraceChunk[]", "tags": "7 string,string{}", "env": "8 string",
        "hostname": "9 string", "appVersion": "10 string",
    },
    "TraceChunk": {
        "priority": "1 int32", "origin": "2 string", "spans": "3 Span[]", "tags": "4 string,string{}",
        "droppedTrace": "5 bool",
    },
    "Span": {
        "service": "1 string", "name": "2 string", "resource": "3 string", "traceID": "4 uint64", "spanID": "5 uint64",
        "parentID": "6 uint64", "start": "7 int64", "duration": "8 int64", "error": "9 int32", "meta": "10 string,string{}",
        "metrics": "11 string,double{}", "type": "12 string", "meta_struct": "13 string,bytes{}",
        "spanLinks": "14 SpanLink[]", "spanEvents": "15 SpanEvent[]",
    },
    "SpanLink": {
        "traceID": "1 uint64", "traceID_high": "2 uint64", "spanID": "3 uint64", "attributes": "4 string,string{}",
        "tracestate": "5 string", "flags": "6 uint32",
    },
    "SpanEvent": {"time_unix_nano": "1 fixed64", "name": "2 string", "attributes": "3 string,AnyValue{}"},
    "AnyValue": {
        "type": "1 int32", "string_value": "2 string", "bool_value": "3 bool", "int_value": "4 int64",
        "double_value": "5 double", "array_value": "6 Array",
    },
    "Array": {"values": "1 AnyValue[]"},
    "IdxTracerPayload": {
        "strings": "1 string[]", "containerIDRef": "2 uint32", "languageNameRef": "3 uint32", "languageVersionRef": "4 uint32",
        "tracerVersionRef": "5 uint32", "runtimeIDRef": "6 uint32", "envRef": "7 uint32", "hostnameRef": "8 uint32",
        "appVersionRef": "9 uint32", "attributes": "10 uint32,IdxAnyValue{}", "chunks": "11 IdxTraceChunk[]",
    },
    "IdxTraceChunk": {
        "priority": "1 int32", "originRef": "2 uint32", "attributes": "3 uint32,IdxAnyValue{}", "spans": "4 IdxSpan[]",
        "droppedTrace": "5 bool", "traceID": "6 bytes", "samplingMechanism": "7 uint32",
    },
    "IdxSpan": {
        "serviceRef": "1 uint32", "nameRef": "2 uint32", "resourceRef": "3 uint32", "spanID": "4 fixed64",
        "parentID": "5 uint64", "start": "6 fixed64", "duration": "7 uint64", "error": "8 bool",
        "attributes": "9 uint32,IdxAnyValue{}", "typeRef": "10 uint32", "links": "11 IdxSpanLink[]",
        "events": "12 IdxSpanEvent[]", "envRef": "13 uint32", "versionRef": "14 uint32", "componentRef": "15 uint32",
        "kind": "16 int32",
    },
    "IdxSpanLink": {
        "traceID": "1 bytes", "spanID": "2 fixed64", "attributes": "3 uint32,IdxAnyValue{}", "tracestateRef": "4 uint32",
        "flags": "5 uint32",
    },
    "IdxSpanEvent": {"time": "1 fixed64", "nameRef": "2 uint32", "attributes": "3 uint32,IdxAnyValue{}"},
    "IdxAnyValue": {
        "stringValueRef": "1 uint32?", "boolValue": "2 bool?", "doubleValue": "3 double?", "intValue": "4 int64?",
        "bytesValue": "5 bytes?", "arrayValue": "6 IdxArray?", "keyValueList": "7 IdxKeyValueList?",
    },
    "IdxArray": {"values": "1 IdxAnyValue[]"},
    "IdxKeyValueList": {"keyValues": "1 IdxKeyValue[]"},
    "IdxKeyValue": {"key": "1 uint32", "value": "2 IdxAnyValue"},
}  # fmt: skip

metrics: Mapping[str, Mapping[str, str]] = {
    "MetricPayload": {"series": "1 MetricSeries[]"},
    "MetricSeries": {
        "resources": "1 Resource[]", "metric": "2 string", "tags": "3 string[]", "points": "4 MetricPoint[]", "type": "5 int32",
        "unit": "6 string", "source_type_name": "7 string", "interval": "8 int64", "metadata": "9 Metadata",
    },
    "Resource": {"type": "1 string", "name": "2 string"},
    "MetricPoint": {"value": "1 double", "timestamp": "2 int64"},
    "Metadata": {"origin": "1 Origin"},
    "Origin": {"origin_product": "4 uint32", "origin_category": "5 uint32", "origin_service": "6 uint32"},
    "SketchPayload": {"sketches": "1 Sketch[]", "metadata": "2 CommonMetadata"},
    "CommonMetadata": {"agent_version": "1 string", "api_key": "6 string"},
    "Sketch": {
        "metric": "1 string", "host": "2 string", "tags": "4 string[]", "dogsketches": "7 Dogsketch[]", "metadata": "8 Metadata",
    },
    "Dogsketch": {
        "ts": "1 int64", "cnt": "2 int64", "min": "3 double", "max": "4 double", "avg": "5 double", "sum": "6 double",
        "k": "7 sint32[]", "n": "8 uint32[]",
    },
}  # fmt: skip

stats: Mapping[str, Mapping[str, str]] = {
    "DDSketch": {
        "mapping": "1 IndexMapping", "positiveValues": "2 Store", "negativeValues": "3 Store", "zeroCount": "4 double",
    },
    "IndexMapping": {"gamma": "1 double", "indexOffset": "2 double", "interpolation": "3 int32"},
    "Store": {
        "binCounts": "1 sint32,double{}", "contiguousBinCounts": "2 double[]", "contiguousBinIndexOffset": "3 sint32",
    },
}  # fmt: skip


def message(name: str, fields: Mapping[str, Any] | None = None) -> Any:
    """A message of one of the tables above, filled from plain values."""
    made = message_class(name)()
    fill(made, fields or {})
    return made


def encoded(name: str, fields: Mapping[str, Any] | None = None) -> bytes:
    return message(name, fields).SerializeToString()


def fill(into: Any, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        current = getattr(into, name)
        if isinstance(value, dict) and hasattr(current, "DESCRIPTOR"):
            current.SetInParent()
            fill(current, value)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, dict):
            for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                if isinstance(item, dict):
                    fill(current[key], item)  # pyright: ignore[reportUnknownArgumentType]
                else:
                    current[key] = item
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                fill(current.add(), item)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list):
            current.extend(value)
        else:
            setattr(into, name, value)


@cache
def message_class(name: str) -> Any:
    pool = descriptor_pool.DescriptorPool()
    tables = next(tables for tables in (agent, metrics, stats) if name in tables)
    pool.Add(_file(tables))  # pyright: ignore[reportUnknownMemberType]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"check.{name}"))


def _file(tables: Mapping[str, Mapping[str, str]]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="check.proto", package="check", syntax="proto3")
    for message_name, fields in tables.items():
        described = file.message_type.add(name=message_name)
        if any(kind.endswith("?") for kind in fields.values()):
            described.oneof_decl.add(name="value")
        for field_name, text in fields.items():
            number, _, kind = text.partition(" ")
            field = described.field.add(name=field_name, number=int(number), label=1)
            if kind.endswith("?"):
                field.oneof_index = 0
                kind = kind[:-1]
            if kind.endswith("{}"):
                entry = described.nested_type.add(name=_entry_name(field_name))
                entry.options.map_entry = True
                for index, part in enumerate(kind[:-2].split(","), 1):
                    _set_kind(entry.field.add(name=("key", "value")[index - 1], number=index, label=1), part)
                kind = f"{message_name}.{entry.name}[]"
            if kind.endswith("[]"):
                field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
                kind = kind[:-2]
            _set_kind(field, kind)
    return file


def _entry_name(field: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in field.split("_")) + "Entry"


def _set_kind(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    if kind[0].isupper():
        field.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".check.{kind}"
    else:
        field.type = _kinds.Value(f"TYPE_{kind.upper()}")
