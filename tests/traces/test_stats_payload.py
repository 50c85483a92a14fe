"""Statistics of tracers, passed through. Names and order of the published stats.proto; msgpack keys in Pascal case."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_traces.stats import decode_client_stats, encode_client_stats, encode_stats_payload
from ddx_traces.stats.payload import most_lenient_bytes

group: dict[str, Any] = {
    "Service": "web",
    "Name": "request",
    "Resource": "GET /",
    "HTTPStatusCode": 200,
    "Type": "web",
    "DBType": "postgres",
    "Hits": 3,
    "Errors": 1,
    "Duration": 6_000_000,
    "OkSummary": b"\x01\x02",
    "ErrorSummary": b"\x03",
    "Synthetics": True,
    "TopLevelHits": 2,
    "SpanKind": "server",
    "PeerTags": ["db.name:x"],
    "IsTraceRoot": 1,
    "GRPCStatusCode": "0",
    "HTTPMethod": "GET",
    "HTTPEndpoint": "/",
    "srv_src": "m",
    "SpanDerivedPrimaryTags": ["a:b"],
    "AdditionalMetricTags": ["c:d"],
}
client_stats: dict[str, Any] = {
    "Hostname": "host",
    "Env": "prod",
    "Version": "1",
    "Stats": [{"Start": 10, "Duration": 10_000_000_000, "Stats": [group, group], "AgentTimeShift": -5}],
    "Lang": "python",
    "TracerVersion": "4",
    "RuntimeID": "r",
    "Sequence": 7,
    "AgentAggregation": "x",
    "Service": "web",
    "ContainerID": "c",
    "Tags": ["t:u"],
    "GitCommitSha": "abc",
    "ImageTag": "v1",
    "ProcessTagsHash": 2**64 - 1,
    "ProcessTags": "p:q",
}


def pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def test_every_field_passes_through() -> None:
    stats = decode_client_stats(pack(client_stats))
    assert stats.groups == 2
    assert msgspec.msgpack.decode(encode_client_stats(stats)) == client_stats


def test_payload_has_the_fields_of_the_intake() -> None:
    stats = encode_client_stats(decode_client_stats(pack(client_stats)))
    assert msgspec.msgpack.decode(encode_stats_payload([stats, stats], client_computed=True)) == {
        "AgentHostname": "",
        "AgentEnv": "",
        "Stats": [client_stats, client_stats],
        "AgentVersion": "",
        "ClientComputed": True,
        "SplitPayload": False,
    }


def test_unknown_keys_are_passed_over_and_nil_counts_as_left_out() -> None:
    odd = {
        "Hostname": None,
        "New": {"a": 1},
        "Stats": [{"Start": 1, "Duration": 2, "Stats": [{"Service": None, "Hits": 1, "Later": True}]}],
    }
    stats = decode_client_stats(pack(odd))
    assert (stats.hostname, stats.groups, stats.stats[0].stats[0].hits) == ("", 1, 1)


def test_a_large_body_of_the_wrong_types_is_refused_without_being_built() -> None:
    with pytest.raises(MalformedInput):
        decode_client_stats(b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\x90" * 1_000_000)
    many_nils = {"Hostname": None, "Lang": "x" * most_lenient_bytes}
    with pytest.raises(MalformedInput):
        decode_client_stats(pack(many_nils))


def test_empty_map_is_statistics_of_nothing() -> None:
    assert decode_client_stats(b"\x80").groups == 0


other_forms: list[Any] = [
    [],
    "text",
    {"Stats": {}},
    {"Stats": [{"Duration": 1, "Stats": []}]},
    {"Stats": [{"Start": 1, "Stats": []}]},
    {"Stats": [{"Start": 1, "Duration": 1}]},
    {"Stats": [{"Start": -1, "Duration": 1, "Stats": []}]},
    {"Stats": [{"Start": 1, "Duration": 1, "Stats": [{"Hits": "many"}]}]},
]


@pytest.mark.parametrize("value", other_forms)
def test_other_forms_are_malformed(value: Any) -> None:
    with pytest.raises(MalformedInput):
        decode_client_stats(pack(value))


@settings(max_examples=50)
@given(st.binary(max_size=60), st.integers(0, 400))
def test_any_bytes_are_statistics_or_malformed(noise: bytes, at: int) -> None:
    whole = pack(client_stats)
    for body in (noise, whole[:at] + noise + whole[at + len(noise) :], whole[:at], b"\x81\xa5Stats" + b"\x91" * 5000):
        with suppress(MalformedInput):
            decode_client_stats(body)
