"""Trace statistics as they travel: what tracers post to /v0.6/stats, and what the stats intake takes. Both MessagePack. Pure.

Names on the wire are Pascal case, as in the published stats.proto; every field is written, as the vendor's agents do.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ddx_core.clock import ns_per_s
from ddx_core.errors import MalformedInput

from ..messagepack import describe, undecodable, without_nil
from ..span import Int64, UInt32, UInt64

_special = {
    "http_status_code": "HTTPStatusCode",
    "db_type": "DBType",
    "runtime_id": "RuntimeID",
    "container_id": "ContainerID",
    "grpc_status_code": "GRPCStatusCode",
    "http_method": "HTTPMethod",
    "http_endpoint": "HTTPEndpoint",
    "service_source": "srv_src",
}


def _wire_name(name: str) -> str:
    return _special.get(name) or "".join(part.capitalize() for part in name.split("_"))


class StatsGroup(msgspec.Struct, kw_only=True, rename=_wire_name):
    """What happened to the spans that share these properties. `duration` is their sum in ns; the summaries are sketches."""

    service: str = ""
    name: str = ""
    resource: str = ""
    http_status_code: UInt32 = 0
    type: str = ""
    db_type: str = ""
    hits: UInt64 = 0
    errors: UInt64 = 0
    duration: UInt64 = 0
    ok_summary: bytes = b""
    error_summary: bytes = b""
    synthetics: bool = False
    top_level_hits: UInt64 = 0
    span_kind: str = ""
    peer_tags: list[str] = []
    is_trace_root: int = 0
    """0 not said, 1 yes, 2 no."""
    grpc_status_code: str = ""
    http_method: str = ""
    http_endpoint: str = ""
    service_source: str = ""
    span_derived_primary_tags: list[str] = []
    additional_metric_tags: list[str] = []


class StatsBucket(msgspec.Struct, kw_only=True, rename=_wire_name):
    """The groups of `duration` ns from `start` (Unix ns) on."""

    start: UInt64
    duration: UInt64
    stats: list[StatsGroup]
    agent_time_shift: Int64 = 0


class ClientStats(msgspec.Struct, kw_only=True, rename=_wire_name):
    """One tracer's statistics."""

    hostname: str = ""
    env: str = ""
    version: str = ""
    stats: list[StatsBucket] = []
    lang: str = ""
    tracer_version: str = ""
    runtime_id: str = ""
    sequence: UInt64 = 0
    agent_aggregation: str = ""
    service: str = ""
    container_id: str = ""
    tags: list[str] = []
    git_commit_sha: str = ""
    image_tag: str = ""
    process_tags_hash: UInt64 = 0
    process_tags: str = ""

    @property
    def groups(self) -> int:
        return sum(len(bucket.stats) for bucket in self.stats)


class _StatsPayload(msgspec.Struct, kw_only=True, rename=_wire_name):
    agent_hostname: str = ""
    agent_env: str = ""
    stats: list[msgspec.Raw]
    agent_version: str = ""
    client_computed: bool
    split_payload: bool = False


# Points that are older, or further ahead, are refused by the metrics intake (API reference, "Submit metrics").
oldest_start_ns: Final = 3600 * ns_per_s
latest_start_ns: Final = 600 * ns_per_s

most_lenient_bytes = 256 << 10
_client_stats = msgspec.msgpack.Decoder(ClientStats)
_encoder = msgspec.msgpack.Encoder()


def decode_client_stats(body: bytes) -> ClientStats:
    """A tracer's request. Unknown keys are passed over and nil counts as left out; raises MalformedInput for the rest."""
    try:
        return _client_stats.decode(body)
    except msgspec.ValidationError as error:
        # Reading it without types takes up to 90 times its size; tracers' requests are far below this.
        if len(body) > most_lenient_bytes:
            raise MalformedInput(describe(error)) from error
    except undecodable as error:
        raise MalformedInput(describe(error)) from error
    try:
        value: Any = without_nil(msgspec.msgpack.decode(body))
        return msgspec.convert(value, ClientStats)
    except undecodable as error:
        raise MalformedInput(describe(error)) from error


def acceptable_start(start_ns: int, now_ns: int) -> tuple[int, int]:
    """When a bucket is said to begin, and by how much that was moved (`agent_time_shift`): not at all, unless it is far off.

    What a sandbox has kept over a long freeze, or a tracer with a wrong clock has made, would be counted nowhere.
    """
    if -oldest_start_ns <= start_ns - now_ns <= latest_start_ns:
        return start_ns, 0
    start = now_ns // (10 * ns_per_s) * (10 * ns_per_s)
    return start, max(-_max_int64, min(start - start_ns, _max_int64))


_max_int64 = 2**63 - 1


def encode_client_stats(stats: ClientStats) -> bytes:
    """One element of a stats payload."""
    return _encoder.encode(stats)


def encode_stats_payload(stats: list[bytes], *, client_computed: bool) -> bytes:
    """The request body for the intake. `client_computed`: tracers made these, not the agent."""
    return _encoder.encode(_StatsPayload(stats=[msgspec.Raw(each) for each in stats], client_computed=client_computed))
