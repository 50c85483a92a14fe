"""Trace payloads of agents, of both generations, and of tracers: every field arrives where it is looked for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.intake import SpanEvent, SpanLink, TracePayload
from ddx_agent.local.intake.decode import (
    DecodeError,
    count_spans,
    decode_traces,
    decode_traces_v04,
    decode_traces_v05,
)
from tests.agent.local.dynamic_protobuf import encoded

most = (1 << 64) - 1

agent_fields: dict[str, Any] = {
    "hostName": "agent-host",
    "env": "agent-env",
    "agentVersion": "7.1",
    "targetTPS": 60.0,
    "errorTPS": 30.0,
    "rareSamplerEnabled": True,
    "tags": {"agent": "tag"},
}

span_fields: dict[str, Any] = {
    "service": "orders",
    "name": "aws.lambda",
    "resource": "handler",
    "traceID": most,
    "spanID": most - 1,
    "parentID": 5,
    "start": 1_700_000_000_000_000_000,
    "duration": 123,
    "error": 1,
    "meta": {"_dd.p.tid": "66f0000000000001", "k": "v"},
    "metrics": {"_sampling_priority_v1": 1.0, "bad": float("nan")},
    "type": "serverless",
    "meta_struct": {"appsec": b"\x80\xff"},
    "spanLinks": [
        {"traceID": 1, "traceID_high": 2, "spanID": 3, "attributes": {"a": "b"}, "tracestate": "t", "flags": 1}
    ],
    "spanEvents": [
        {
            "time_unix_nano": 9,
            "name": "event",
            "attributes": {
                "s": {"type": 0, "string_value": "x"},
                "b": {"type": 1, "bool_value": True},
                "i": {"type": 2, "int_value": -3},
                "d": {"type": 3, "double_value": 1.5},
                "l": {
                    "type": 4,
                    "array_value": {"values": [{"type": 2, "int_value": 1}, {"type": 0, "string_value": "y"}]},
                },
            },
        }
    ],
}

tracer_fields: dict[str, Any] = {
    "containerID": "c",
    "languageName": "python",
    "languageVersion": "3.12",
    "tracerVersion": "2.20",
    "runtimeID": "r",
    "env": "dev",
    "hostname": "h",
    "appVersion": "1",
    "tags": {"_dd.tags.function": "region:us-east-1"},
    "chunks": [
        {
            "priority": -1,
            "origin": "lambda",
            "tags": {"chunk": "tag"},
            "droppedTrace": True,
            "spans": [span_fields, {}],
        },
        {"spans": [{"name": "second chunk"}]},
    ],
}

payload = TracePayload(
    agent_hostname="agent-host",
    agent_env="agent-env",
    agent_version="7.1",
    agent_tags={"agent": "tag"},
    target_tps=60.0,
    error_tps=30.0,
    rare_sampler=True,
    container_id="c",
    language="python",
    language_version="3.12",
    tracer_version="2.20",
    runtime_id="r",
    env="dev",
    hostname="h",
    app_version="1",
    tags={"_dd.tags.function": "region:us-east-1"},
)


def test_every_field_of_an_agent_payload_arrives() -> None:
    body = encoded("AgentPayload", {**agent_fields, "tracerPayloads": [tracer_fields]})
    span, empty, other = decode_traces(body, request=4)
    assert span.request == 4
    assert span.payload == payload
    assert (span.chunk, span.priority, span.origin, span.chunk_tags, span.dropped_trace) == (
        0, -1, "lambda", {"chunk": "tag"}, True,
    )  # fmt: skip
    assert (span.service, span.name, span.resource, span.type) == ("orders", "aws.lambda", "handler", "serverless")
    assert (span.trace_id, span.trace_id_high, span.span_id, span.parent_id) == (most, 0x66F0000000000001, most - 1, 5)
    assert (span.start_ns, span.duration_ns, span.error) == (1_700_000_000_000_000_000, 123, 1)
    assert span.meta == span_fields["meta"]
    assert span.metrics == {"_sampling_priority_v1": 1.0}
    assert span.meta_struct == {"appsec": b"\x80\xff"}
    assert span.links == (
        SpanLink(trace_id=1, trace_id_high=2, span_id=3, attributes={"a": "b"}, tracestate="t", flags=1),
    )
    assert span.events == (
        SpanEvent(time_ns=9, name="event", attributes={"s": "x", "b": True, "i": -3, "d": 1.5, "l": [1, "y"]}),
    )
    assert (empty.name, empty.meta, empty.chunk) == ("", {}, 0)
    assert (empty.trace_id_high, other.trace_id_high) == (0x66F0000000000001, 0)
    assert (other.name, other.chunk, other.priority) == ("second chunk", 1, 0)
    assert count_spans(body) == 3


idx_fields: dict[str, Any] = {
    "strings": ["", "c", "python", "dev", "k", "v", "orders", "aws.lambda", "handler", "web", "lambda", "django", "event"],
    "containerIDRef": 1,
    "languageNameRef": 2,
    "envRef": 3,
    "attributes": {4: {"stringValueRef": 5}},
    "chunks": [
        {
            "priority": 2,
            "originRef": 10,
            "traceID": bytes(7) + b"\x01" + bytes(7) + b"\x02",
            "samplingMechanism": 4,
            "attributes": {4: {"intValue": 3}},
            "spans": [
                {
                    "serviceRef": 6, "nameRef": 7, "resourceRef": 8, "typeRef": 9, "spanID": most, "parentID": 1, "start": 10,
                    "duration": 11, "error": True, "envRef": 3, "componentRef": 11, "kind": 2,
                    "attributes": {
                        4: {"stringValueRef": 5}, 2: {"doubleValue": 1.5}, 3: {"boolValue": True}, 1: {"bytesValue": b"\xff"},
                        5: {"arrayValue": {"values": [{"intValue": 1}, {"stringValueRef": 4}]}},
                        6: {"keyValueList": {"keyValues": [{"key": 4, "value": {"stringValueRef": 5}}]}},
                    },
                    "links": [{"traceID": bytes(15) + b"\x07", "spanID": 8, "tracestateRef": 5, "flags": 1}],
                    "events": [{"time": 12, "nameRef": 12, "attributes": {4: {"boolValue": False}}}],
                }
            ],
        }
    ],
}  # fmt: skip


def test_the_second_generation_gives_the_same_spans() -> None:
    body = encoded(
        "AgentPayload", {**agent_fields, "tracerPayloads": [tracer_fields], "idxTracerPayloads": [idx_fields]}
    )
    assert count_spans(body) == 4
    span = decode_traces(body, request=1)[-1]
    assert (span.payload.agent_hostname, span.payload.language, span.payload.env) == ("agent-host", "python", "dev")
    assert (span.payload.container_id, span.payload.tags) == ("c", {"k": "v"})
    assert (span.chunk, span.priority, span.origin, span.chunk_tags) == (2, 2, "lambda", {"k": "3", "_dd.p.dm": "-4"})
    assert (span.trace_id_high, span.trace_id, span.span_id, span.parent_id) == (1, 2, most, 1)
    assert (span.service, span.name, span.resource, span.type) == ("orders", "aws.lambda", "handler", "web")
    assert (span.start_ns, span.duration_ns, span.error) == (10, 11, 1)
    assert span.meta == {
        "k": "v", "v": '[1,"k"]', "orders": '{"k":"v"}', "env": "dev", "component": "django", "span.kind": "server",
    }  # fmt: skip
    assert span.metrics == {"python": 1.5, "dev": 1.0}
    assert span.meta_struct == {"c": b"\xff"}
    assert span.links == (SpanLink(trace_id=7, trace_id_high=0, span_id=8, attributes={}, tracestate="v", flags=1),)
    assert span.events == (SpanEvent(time_ns=12, name="event", attributes={"k": False}),)


@pytest.mark.parametrize(
    ("trace_id", "span", "reason"),
    [
        (b"short", {"nameRef": 1}, "5 bytes instead of 16"),
        (bytes(16), {"nameRef": 99}, "string 99 of a table of 2"),
        (bytes(16), {"kind": 6}, "span kind 6"),
    ],
)
def test_the_second_generation_is_checked(trace_id: bytes, span: dict[str, Any], reason: str) -> None:
    chunk = {"traceID": trace_id, "spans": [span]}
    body = encoded("AgentPayload", {"idxTracerPayloads": [{"strings": ["", "a"], "chunks": [chunk]}]})
    with pytest.raises(DecodeError, match=reason):
        decode_traces(body, request=1)


def test_tracers_send_v04() -> None:
    span = {
        "service": "orders", "name": "web.request", "resource": None, "trace_id": most, "span_id": 2, "parent_id": None,
        "start": 1, "duration": 2, "error": 0, "meta": {"a": None, "b": "x", "_dd.origin": "rum", "_dd.p.tid": "1"},
        "metrics": {"_sampling_priority_v1": 2, "n": 1}, "meta_struct": {"s": b"\x01"},
        "span_links": [{"trace_id": 1, "span_id": 2}],
        "span_events": [{"time_unix_nano": 1, "name": "e", "attributes": {"k": {"type": 2, "int_value": 3}}}],
        "unknown": [1, {"x": 2}],
    }  # fmt: skip
    tracer = TracePayload(language="python")
    first, child, second = decode_traces_v04(msgspec.msgpack.encode([[span, {}], [{}]]), payload=tracer, request=1)
    assert (first.payload, first.chunk, first.priority, first.origin) == (tracer, 0, 2, "rum")
    assert (first.service, first.resource, first.trace_id, first.parent_id) == ("orders", "", most, 0)
    assert first.meta == {"b": "x", "_dd.origin": "rum", "_dd.p.tid": "1"}
    assert first.metrics == {"_sampling_priority_v1": 2.0, "n": 1.0}
    assert first.links[0].span_id == 2
    assert first.events[0].attributes == {"k": 3}
    assert (child.chunk, child.priority, child.origin, child.trace_id_high) == (0, 2, "rum", 1)
    assert (second.chunk, second.priority, second.name) == (1, 0, "")


def test_tracers_send_v05() -> None:
    # After the vector in the Datadog Agent's description of this form.
    words = [
        "baggage",
        "item",
        "es.version",
        "7.0",
        "my-name",
        "X",
        "my-service",
        "my-resource",
        "_dd.rate",
        "v",
        "sql",
    ]
    span = [6, 4, 7, 1, 2, 3, 123, 456, 1, {8: 9, 0: 1, 2: 3}, {5: 1.2}, 10]
    (read,) = decode_traces_v05(msgspec.msgpack.encode([words, [[span]]]), payload=TracePayload(), request=1)
    assert (read.service, read.name, read.resource, read.type) == ("my-service", "my-name", "my-resource", "sql")
    assert (read.trace_id, read.span_id, read.parent_id, read.start_ns, read.duration_ns, read.error) == (
        1,
        2,
        3,
        123,
        456,
        1,
    )
    assert read.meta == {"baggage": "item", "es.version": "7.0", "_dd.rate": "v"}
    assert read.metrics == {"X": 1.2}


@pytest.mark.parametrize(
    "span",
    [
        [6, 4, 7, 1, 2, 3, 123, 456, 1, {}, {}],
        [6, 4, 7, 1, 2, 3, 123, 456, 1, {}, {}, 10, 11],
        [6, 4, 7, 1, 2, 3, 123, 456, 1, {}, {}, 10_000],
        [6, 4, 7, 1, 2, 3, 123, 456, 1, {-1: 0}, {}, 10],
    ],
    ids=["too few", "too many", "index past the end", "negative index"],
)
def test_v05_is_checked(span: list[Any]) -> None:
    with pytest.raises(DecodeError):
        decode_traces_v05(msgspec.msgpack.encode([["x"] * 11, [[span]]]), payload=TracePayload(), request=1)


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_give_spans_or_a_decode_error(data: bytes) -> None:
    for decode in (
        lambda: decode_traces(data, request=1),
        lambda: count_spans(data),
        lambda: decode_traces_v04(data, payload=TracePayload(), request=1),
        lambda: decode_traces_v05(data, payload=TracePayload(), request=1),
    ):
        with suppress(DecodeError):
            decode()
