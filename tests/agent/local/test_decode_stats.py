"""Trace statistics: the MessagePack forms of agents and tracers, and the sketches in them."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.intake.decode import DecodeError, decode_client_stats, decode_stats
from ddx_agent.local.intake.decode.stats_sketch import read_stats_sketch
from ddx_agent.local.intake.sketches import empty_stats_sketch
from tests.agent.local.dynamic_protobuf import encoded

mapping = {"gamma": 1.015625, "indexOffset": 1338.5}
# 5, 1e6 and 3e9 ns lie in bins 1442, 2229 and 2745 of this mapping.
durations = encoded(
    "DDSketch",
    {
        "mapping": mapping,
        "positiveValues": {
            "contiguousBinCounts": [1.0, 0.0, 2.0],
            "contiguousBinIndexOffset": 2227,
            "binCounts": {1442: 1.0},
        },
        "negativeValues": {},
        "zeroCount": 1.0,
    },
)

group: dict[str, Any] = {
    "Service": "orders", "Name": "aws.lambda", "Resource": "handler", "HTTPStatusCode": 200, "Type": "serverless",
    "DBType": "sql", "Hits": 5, "Errors": 2, "Duration": 1000, "OkSummary": durations, "ErrorSummary": b"",
    "Synthetics": True, "TopLevelHits": 4, "SpanKind": "server", "PeerTags": ["db.instance:i"], "IsTraceRoot": 1,
    "GRPCStatusCode": "0", "HTTPMethod": "GET", "HTTPEndpoint": "/x", "srv_src": "s", "Unknown": [1],
}  # fmt: skip

client: dict[str, Any] = {
    "Hostname": "h", "Env": "dev", "Version": "1", "Lang": "python", "TracerVersion": "2", "RuntimeID": "r", "Sequence": 7,
    "Service": "svc", "ContainerID": "c", "Tags": ["a:b"], "GitCommitSha": "sha", "ProcessTags": "p",
    "Stats": [{"Start": 1_700_000_000_000_000_000, "Duration": 10_000_000_000, "Stats": [group, {"PeerTags": None}]}],
}  # fmt: skip

payload: dict[str, Any] = {
    "AgentHostname": "ah", "AgentEnv": "ae", "AgentVersion": "7", "ClientComputed": True, "SplitPayload": False,
    "Stats": [client],
}  # fmt: skip


def test_every_field_of_an_agents_payload_arrives() -> None:
    first, second = decode_stats(msgspec.msgpack.encode(payload), request=2)
    assert (first.request, first.agent_hostname, first.agent_env, first.agent_version) == (2, "ah", "ae", "7")
    assert first.client_computed
    assert (first.hostname, first.env, first.version, first.language, first.tracer_version) == (
        "h",
        "dev",
        "1",
        "python",
        "2",
    )
    assert (first.runtime_id, first.sequence, first.payload_service, first.container_id) == ("r", 7, "svc", "c")
    assert (first.tags, first.git_commit_sha, first.process_tags) == (("a:b",), "sha", "p")
    assert (first.start_ns, first.duration_ns) == (1_700_000_000_000_000_000, 10_000_000_000)
    assert (first.service, first.name, first.resource, first.type) == ("orders", "aws.lambda", "handler", "serverless")
    assert (first.http_status_code, first.grpc_status_code, first.http_method, first.http_endpoint) == (
        200,
        "0",
        "GET",
        "/x",
    )
    assert (first.db_type, first.span_kind, first.peer_tags, first.is_trace_root) == (
        "sql",
        "server",
        ("db.instance:i",),
        1,
    )
    assert (first.synthetics, first.service_source) == (True, "s")
    assert (first.hits, first.top_level_hits, first.errors, first.total_ns) == (5, 4, 2, 1000)
    assert first.ok.count == 5
    assert first.error.count == 0
    assert (second.hits, second.peer_tags) == (0, ())


def test_tracers_send_the_inner_payload_alone() -> None:
    first, _ = decode_client_stats(msgspec.msgpack.encode(client), request=1)
    assert (first.env, first.hits, first.client_computed) == ("dev", 5, True)
    assert decode_client_stats(b"\x80", request=1) == []


def test_reads_a_sketch_of_durations() -> None:
    sketch = read_stats_sketch(durations)
    assert sketch.bins == ((1442, 1.0), (2227, 1.0), (2229, 2.0))
    assert (sketch.zeros, sketch.count) == (1.0, 5.0)
    assert sketch.quantile(0) == 0.0
    assert sketch.quantile(0.25) == pytest.approx(5, rel=0.0078)
    assert sketch.quantile(1) == pytest.approx(1_000_000, rel=0.0078)


def test_an_empty_sketch_has_no_quantiles() -> None:
    assert read_stats_sketch(b"") == empty_stats_sketch
    assert empty_stats_sketch.quantile(0.5) is None
    assert read_stats_sketch(encoded("DDSketch", {"mapping": mapping, "positiveValues": {}})).count == 0


def test_a_bin_beyond_all_numbers_is_infinite() -> None:
    sketch = read_stats_sketch(
        encoded("DDSketch", {"mapping": mapping, "positiveValues": {"binCounts": {1 << 30: 1.0}}})
    )
    assert sketch.quantile(1) == math.inf


@pytest.mark.parametrize(
    ("sketch", "reason"),
    [
        ({"zeroCount": 1.0}, "without a usable mapping"),
        ({"mapping": {"gamma": 1.0}}, "without a usable mapping"),
        ({"mapping": {**mapping, "interpolation": 3}}, "interpolation 3"),
        ({"mapping": mapping, "negativeValues": {"contiguousBinCounts": [1.0]}}, "negative durations"),
        ({"mapping": mapping, "positiveValues": {"contiguousBinCounts": [float("inf")]}}, "not finite"),
    ],
)
def test_refuses_sketches_that_cannot_be(sketch: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        read_stats_sketch(encoded("DDSketch", sketch))


@pytest.mark.parametrize(
    "body",
    [b"", b"\x80", b"\x90", b"\xc1", msgspec.msgpack.encode({"Stats": [{"Stats": [{"Duration": 1, "Stats": []}]}]})],
)
def test_refuses_what_is_no_payload(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_stats(body, request=1)


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_give_groups_or_a_decode_error(data: bytes) -> None:
    for decode in (lambda: decode_stats(data, request=1), lambda: read_stats_sketch(data).quantile(0.5)):
        with suppress(DecodeError):
            decode()
