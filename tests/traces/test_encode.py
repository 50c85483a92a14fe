"""Spans to agent payloads, read back by a reader that shares nothing with the encoder."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_traces.encode import (
    EncodedChunk,
    PayloadDefaults,
    encode_agent_payload,
    encode_chunks,
    request_headers,
)
from ddx_traces.span import (
    ArrayValue,
    AttributeValue,
    ScalarValue,
    Span,
    SpanEvent,
    SpanLink,
    Tracer,
    TracerPayload,
)
from ddx_traces.span_encoder import SpanEncoder

from .protobuf_reader import read_agent_payload, read_message
from .support import span

encode_span = SpanEncoder().encode

texts = st.text(max_size=10)
uint64s = st.integers(0, 2**64 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
tables = st.dictionaries(texts, texts, max_size=3)
scalars = st.builds(
    ScalarValue,
    type=st.integers(0, 3),
    string_value=texts,
    bool_value=st.booleans(),
    int_value=int64s,
    double_value=floats,
)
attributes = st.builds(
    AttributeValue,
    type=st.integers(0, 4),
    string_value=texts,
    bool_value=st.booleans(),
    int_value=int64s,
    double_value=floats,
    array_value=st.none() | st.builds(ArrayValue, values=st.lists(scalars, max_size=3)),
)
links = st.builds(
    SpanLink,
    trace_id=uint64s,
    span_id=uint64s,
    trace_id_high=uint64s,
    attributes=tables,
    tracestate=texts,
    flags=st.integers(0, 2**32 - 1),
)
events = st.builds(
    SpanEvent, time_unix_nano=uint64s, name=texts, attributes=st.dictionaries(texts, attributes, max_size=3)
)
spans = st.builds(
    Span,
    trace_id=uint64s,
    span_id=uint64s,
    parent_id=uint64s,
    service=texts,
    name=texts,
    resource=st.text(max_size=300),
    type=texts,
    start=int64s,
    duration=int64s,
    error=st.integers(-(2**31), 2**31 - 1),
    meta=tables,
    metrics=st.dictionaries(texts, floats, max_size=3),
    meta_struct=st.none() | st.dictionaries(texts, st.binary(max_size=5), max_size=2),
    span_links=st.none() | st.lists(links, max_size=2),
    span_events=st.none() | st.lists(events, max_size=2),
)


def as_read(value: Span) -> dict[str, Any]:
    """What the reader should find, in the wire's names."""
    return {
        "service": value.service,
        "name": value.name,
        "resource": value.resource,
        "traceID": value.trace_id,
        "spanID": value.span_id,
        "parentID": value.parent_id,
        "start": value.start,
        "duration": value.duration,
        "error": value.error,
        "meta": value.meta,
        "metrics": value.metrics,
        "type": value.type,
        "meta_struct": value.meta_struct or {},
        "spanLinks": [
            {
                "traceID": link.trace_id,
                "traceID_high": link.trace_id_high,
                "spanID": link.span_id,
                "attributes": link.attributes,
                "tracestate": link.tracestate,
                "flags": link.flags,
            }
            for link in value.span_links or ()
        ],
        "spanEvents": [
            {
                "time_unix_nano": event.time_unix_nano,
                "name": event.name,
                "attributes": {key: msgspec.to_builtins(each) for key, each in event.attributes.items()},
            }
            for event in value.span_events or ()
        ],
    }


@settings(max_examples=40)
@given(spans)
def test_every_field_is_under_its_number(value: Span) -> None:
    assert read_message("Span", encode_span(value)) == as_read(value)


def chunks_of(
    payload: TracerPayload, spans: list[Span], *, tags: bytes = b"", priority: int = 1, max_bytes: int = 1 << 20
) -> list[EncodedChunk]:
    pieces = [(encode_span(each), tags) for each in spans]
    return list(encode_chunks(payload, pieces, priority=priority, origin="lambda", max_bytes=max_bytes))


def test_span_and_its_tags_are_one_message() -> None:
    tags = encode_span(Span(trace_id=0, span_id=0, meta={"region": "x"}))
    payload = encode_agent_payload(chunks_of(TracerPayload(), [span(meta={"a": "b"})], tags=tags), PayloadDefaults())
    (tracer_payload,) = read_agent_payload(payload)["tracerPayloads"]
    (chunk,) = tracer_payload["chunks"]
    assert chunk["spans"] == [as_read(span(meta={"a": "b", "region": "x"}))]


def test_payload_says_what_the_vendors_agents_say() -> None:
    payload = TracerPayload(
        tracer=Tracer(language="python", language_version="3.12", version="4.0", container_id="c"),
        runtime_id="r",
        env="prod",
        hostname="h",
        app_version="1",
    )
    read = read_agent_payload(
        encode_agent_payload(chunks_of(payload, [span()], priority=-128), PayloadDefaults(function_tags="a:b,c:d"))
    )
    (tracer_payload,) = read.pop("tracerPayloads")
    assert read == {
        "hostName": "",
        "env": "",
        "tags": {},
        "agentVersion": "",
        "targetTPS": 60.0,
        "errorTPS": 60.0,
        "rareSamplerEnabled": False,
    }
    (chunk,) = tracer_payload.pop("chunks")
    assert tracer_payload == {
        "containerID": "c",
        "languageName": "python",
        "languageVersion": "3.12",
        "tracerVersion": "4.0",
        "runtimeID": "r",
        "tags": {"_dd.tags.function": "a:b,c:d"},
        "env": "prod",
        "hostname": "h",
        "appVersion": "1",
    }
    assert (chunk["priority"], chunk["origin"], chunk["tags"], chunk["droppedTrace"]) == (-128, "lambda", {}, False)


def test_defaults_stand_in_for_what_a_tracer_leaves_open() -> None:
    chunks = chunks_of(TracerPayload(), [span()]) + chunks_of(TracerPayload(env="own", app_version="2"), [span()])
    read = read_agent_payload(encode_agent_payload(chunks, PayloadDefaults(env="prod", app_version="1")))
    assert [(each["env"], each["appVersion"]) for each in read["tracerPayloads"]] == [("prod", "1"), ("own", "2")]


def test_tracers_that_say_the_same_of_themselves_share_a_payload() -> None:
    python = Tracer(language="python")
    chunks = [
        *chunks_of(TracerPayload(tracer=python, env="a"), [span(span_id=1)]),
        *chunks_of(TracerPayload(tracer=Tracer(language="go"), env="a"), [span(span_id=2)]),
        *chunks_of(TracerPayload(tracer=Tracer(language="python"), env="a"), [span(span_id=3)]),
        *chunks_of(TracerPayload(tracer=python, env="b"), [span(span_id=4)]),
    ]
    read = read_agent_payload(encode_agent_payload(chunks, PayloadDefaults()))
    found = [
        (each["languageName"], each["env"], [chunk["spans"][0]["spanID"] for chunk in each["chunks"]])
        for each in read["tracerPayloads"]
    ]
    assert found == [("python", "a", [1, 3]), ("go", "a", [2]), ("python", "b", [4])]


@pytest.mark.parametrize("length", [0, 100, 127, 128, 16_300, 16_384, 2_097_152])
def test_lengths_of_every_size_are_written_right(length: int) -> None:
    chunks = chunks_of(TracerPayload(), [span(resource="r" * length)], max_bytes=1 << 30)
    read = read_agent_payload(encode_agent_payload(chunks, PayloadDefaults()))
    assert len(read["tracerPayloads"][0]["chunks"][0]["spans"][0]["resource"]) == length


def test_long_trace_is_cut_into_chunks_that_fit() -> None:
    payload = TracerPayload()
    chunks = chunks_of(payload, [span(span_id=number, resource="r" * 100) for number in range(1, 101)], max_bytes=1000)
    assert len(chunks) > 10
    assert all(len(chunk.body) <= 1000 for chunk in chunks)
    assert sum(chunk.spans for chunk in chunks) == 100
    read = read_agent_payload(encode_agent_payload(chunks, PayloadDefaults()))
    found = read["tracerPayloads"][0]["chunks"]
    assert [each["spanID"] for chunk in found for each in chunk["spans"]] == list(range(1, 101))
    assert {(chunk["priority"], chunk["origin"]) for chunk in found} == {(1, "lambda")}


def test_span_larger_than_a_chunk_is_alone() -> None:
    sent = [span(span_id=1), span(span_id=2, resource="r" * 5000), span(span_id=3)]
    assert [chunk.spans for chunk in chunks_of(TracerPayload(), sent, max_bytes=1000)] == [1, 1, 1]


def test_no_spans_make_no_chunk() -> None:
    assert chunks_of(TracerPayload(), []) == []


node = Tracer(
    language="nodejs",
    language_version="v20",
    interpreter="v8",
    interpreter_vendor="g",
    version="5",
    container_id="c",
    computed_top_level=True,
    computed_stats=True,
)


def test_headers_describe_the_first_tracer_that_names_its_language_and_tell_what_was_dropped() -> None:
    payloads = [
        TracerPayload(tracer=Tracer(container_id="d")),
        TracerPayload(tracer=node),
        TracerPayload(tracer=Tracer(language="python")),
    ]
    assert dict(request_headers(payloads, dropped_p0_traces=3, dropped_p0_spans=4)) == {
        "Datadog-Meta-Lang": "nodejs",
        "Datadog-Meta-Lang-Version": "v20",
        "Datadog-Meta-Lang-Interpreter": "v8",
        "Datadog-Meta-Lang-Interpreter-Vendor": "g",
        "Datadog-Meta-Tracer-Version": "5",
        "Datadog-Container-Id": "c",
        "Datadog-Client-Dropped-P0-Traces": "3",
        "Datadog-Client-Dropped-P0-Spans": "4",
        "Datadog-Send-Real-Http-Status": "1",
    }


def test_headers_never_describe_a_tracer_by_what_another_says() -> None:
    payloads = [TracerPayload(tracer=Tracer(language="python")), TracerPayload(tracer=node)]
    assert dict(request_headers(payloads)) == {"Datadog-Meta-Lang": "python", "Datadog-Send-Real-Http-Status": "1"}


def test_headers_tell_what_tracers_computed_when_all_did() -> None:
    top_level_alone = TracerPayload(tracer=Tracer(language="go", computed_top_level=True))
    both = TracerPayload(tracer=node)
    for payloads, expected in (
        ([both, both], {"Datadog-Client-Computed-Stats", "Datadog-Client-Computed-Top-Level"}),
        ([both, top_level_alone], {"Datadog-Client-Computed-Top-Level"}),
        ([both, TracerPayload()], set[str]()),
    ):
        assert {name for name, _ in request_headers(payloads) if "Computed" in name} == expected


def test_headers_without_a_value_are_left_out() -> None:
    assert request_headers([TracerPayload()]) == (("Datadog-Send-Real-Http-Status", "1"),)
