"""Bodies of `/api/v0.2/stats` and of tracers' `/v0.6/stats`, in MessagePack, names as on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..items import StatsGroup
from .documents import read_msgpack
from .errors import DecodeError
from .stats_sketch import read_stats_sketch

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Group(msgspec.Struct, frozen=True, rename="pascal"):
    service: str = ""
    name: str = ""
    resource: str = ""
    http_status_code: int = msgspec.field(default=0, name="HTTPStatusCode")
    type: str = ""
    db_type: str = msgspec.field(default="", name="DBType")
    hits: Count = 0
    errors: Count = 0
    duration: int = 0
    ok_summary: bytes | None = None
    error_summary: bytes | None = None
    synthetics: bool = False
    top_level_hits: Count = 0
    span_kind: str = ""
    peer_tags: list[str] | None = None
    is_trace_root: int = 0
    grpc_status_code: str = msgspec.field(default="", name="GRPCStatusCode")
    http_method: str = msgspec.field(default="", name="HTTPMethod")
    http_endpoint: str = msgspec.field(default="", name="HTTPEndpoint")
    service_source: str = msgspec.field(default="", name="srv_src")


class _Bucket(msgspec.Struct, frozen=True, rename="pascal"):
    start: int
    duration: int
    stats: list[_Group] | None


class _ClientPayload(msgspec.Struct, frozen=True, rename="pascal"):
    hostname: str = ""
    env: str = ""
    version: str = ""
    stats: list[_Bucket] | None = None
    lang: str = ""
    tracer_version: str = ""
    runtime_id: str = msgspec.field(default="", name="RuntimeID")
    sequence: int = 0
    service: str = ""
    container_id: str = msgspec.field(default="", name="ContainerID")
    tags: list[str] | None = None
    git_commit_sha: str = ""
    process_tags: str = ""


class _StatsPayload(msgspec.Struct, frozen=True, rename="pascal"):
    agent_hostname: str = ""
    agent_env: str = ""
    stats: list[_ClientPayload] | None = None
    agent_version: str = ""
    client_computed: bool = False


def decode_stats(body: bytes, *, request: int) -> list[StatsGroup]:
    agent = read_msgpack(body, _StatsPayload)
    if agent.stats is None:
        raise DecodeError("no Stats in the payload")
    return [
        _group(agent, client, bucket, group, request)
        for client in agent.stats
        for bucket in client.stats or ()
        for group in bucket.stats or ()
    ]


def decode_client_stats(body: bytes, *, request: int) -> list[StatsGroup]:
    """The body of a tracer's `/v0.6/stats`: one client payload, with no agent's envelope."""
    client = read_msgpack(body, _ClientPayload)
    agent = _StatsPayload(client_computed=True)
    return [
        _group(agent, client, bucket, group, request) for bucket in client.stats or () for group in bucket.stats or ()
    ]


def _group(agent: _StatsPayload, client: _ClientPayload, bucket: _Bucket, group: _Group, request: int) -> StatsGroup:
    return StatsGroup(
        request=request,
        agent_hostname=agent.agent_hostname,
        agent_env=agent.agent_env,
        agent_version=agent.agent_version,
        client_computed=agent.client_computed,
        hostname=client.hostname,
        env=client.env,
        version=client.version,
        payload_service=client.service,
        language=client.lang,
        tracer_version=client.tracer_version,
        runtime_id=client.runtime_id,
        container_id=client.container_id,
        tags=tuple(client.tags or ()),
        git_commit_sha=client.git_commit_sha,
        process_tags=client.process_tags,
        sequence=client.sequence,
        start_ns=bucket.start,
        duration_ns=bucket.duration,
        service=group.service,
        name=group.name,
        resource=group.resource,
        type=group.type,
        http_status_code=group.http_status_code,
        grpc_status_code=group.grpc_status_code,
        http_method=group.http_method,
        http_endpoint=group.http_endpoint,
        db_type=group.db_type,
        span_kind=group.span_kind,
        peer_tags=tuple(group.peer_tags or ()),
        is_trace_root=group.is_trace_root,
        synthetics=group.synthetics,
        service_source=group.service_source,
        hits=group.hits,
        top_level_hits=group.top_level_hits,
        errors=group.errors,
        total_ns=group.duration,
        ok=read_stats_sketch(group.ok_summary or b""),
        error=read_stats_sketch(group.error_summary or b""),
    )
