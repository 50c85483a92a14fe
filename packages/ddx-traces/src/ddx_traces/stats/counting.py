"""Which spans count in trace statistics, and as what. Pure.

The rules are those of the vendor's agents (DataDog/libdatadog, libdd-trace-stats). A group's key is read in two steps: what a
span says, taken as it is (`saying`: cheap, for every span), and what that means (`read_key`: once for all spans that say the
same).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ..span import Span
from .addresses import without_addresses

span_kinds: Final = ("client", "consumer", "producer", "server")
"""Spans of these kinds are counted also inside a service."""

peer_tags: Final = (
    "_dd.base_service",
    "active_record.db.vendor",
    "amqp.destination",
    "amqp.exchange",
    "amqp.queue",
    "aws.queue.name",
    "aws.s3.bucket",
    "bucketname",
    "cassandra.keyspace",
    "db.cassandra.contact.points",
    "db.couchbase.seed.nodes",
    "db.hostname",
    "db.instance",
    "db.name",
    "db.namespace",
    "db.system",
    "db.type",
    "dns.hostname",
    "grpc.host",
    "hostname",
    "http.host",
    "http.server_name",
    "messaging.destination",
    "messaging.destination.name",
    "messaging.kafka.bootstrap.servers",
    "messaging.rabbitmq.exchange",
    "messaging.system",
    "mongodb.db",
    "msmq.queue.path",
    "net.peer.name",
    "network.destination.ip",
    "network.destination.name",
    "out.host",
    "peer.hostname",
    "peer.service",
    "queuename",
    "rpc.service",
    "rpc.system",
    "sequel.db.vendor",
    "server.address",
    "streamname",
    "tablename",
    "topicname",
)
"""The tags that name what a span calls, in the order in which they are told."""

blocked_value: Final = "tracer_blocked_value"
"""Stands for every text of the group of what is beyond the limits."""
max_resource_bytes: Final = 5000
max_text_bytes: Final = 1000

base_service_key: Final = "_dd.base_service"
_grpc_keys = ("rpc.grpc.status_code", "grpc.code", "rpc.grpc.status.code", "grpc.status.code")
_plain_keys = (
    "span.kind",
    "http.method",
    "http.endpoint",
    "http.route",
    "http.status_code",
    "_dd.svc_src",
    "_dd.origin",
    base_service_key,
    *_grpc_keys,
)
keys_of_all = frozenset(_plain_keys)
"""The meta entries that count for every span."""
keys_of_callers = frozenset(_plain_keys + peer_tags)
"""The same for spans that call something: client, producer and consumer."""
keys_in_metrics = frozenset(("http.status_code", *_grpc_keys))

calling_kinds = frozenset({"client", "consumer", "producer"})
counted_kinds = frozenset(span_kinds)


class GroupKey(NamedTuple):
    """What the spans of a group have in common, as it is told. `trace_root`: 0 not said, 1 yes, 2 no."""

    service: str
    name: str
    resource: str
    type: str
    span_kind: str
    http_status_code: int
    grpc_status_code: str
    http_method: str
    http_endpoint: str
    service_source: str
    synthetics: bool
    trace_root: int
    peer_tags: tuple[str, ...]


blocked_key: Final = GroupKey(
    service=blocked_value,
    name=blocked_value,
    resource=blocked_value,
    type=blocked_value,
    span_kind=blocked_value,
    http_status_code=0,
    grpc_status_code=blocked_value,
    http_method=blocked_value,
    http_endpoint=blocked_value,
    service_source=blocked_value,
    synthetics=False,
    trace_root=0,
    peer_tags=(),
)


def is_counted(span: Span) -> bool:
    """Whether a span is in the statistics: entries of a service, what was asked to be measured, and calls; no snapshots."""
    metrics = span.metrics
    if metrics.get("_dd.partial_version", -1.0) >= 0:
        return False
    if is_top_level(span) or metrics.get("_dd.measured") == 1:
        return True
    return span.meta.get("span.kind", "").lower() in counted_kinds


def is_top_level(span: Span) -> bool:
    return span.metrics.get("_top_level") == 1 or span.metrics.get("_dd.top_level") == 1


def read_key(span: Span) -> GroupKey:
    meta = span.meta
    kind = meta.get("span.kind", "")
    return GroupKey(
        service=_cut(span.service),
        name=_cut(span.name),
        resource=_cut(span.resource, max_resource_bytes),
        type=_cut(span.type),
        span_kind=_cut(kind),
        http_status_code=_http_status(span),
        grpc_status_code=_grpc_status(span),
        http_method=_cut(meta.get("http.method", "")),
        http_endpoint=_cut(meta.get("http.endpoint") or meta.get("http.route", "")),
        service_source=_cut(meta.get("_dd.svc_src", "")),
        synthetics=meta.get("_dd.origin", "").startswith("synthetics"),
        trace_root=2 if span.parent_id else 1,
        peer_tags=_peer_tags(meta, kind.lower() in calling_kinds),
    )


def _peer_tags(meta: Mapping[str, str], calls: bool) -> tuple[str, ...]:
    if not calls:
        return (f"{base_service_key}:{_cut(meta[base_service_key])}",) if base_service_key in meta else ()
    return tuple([_peer_tag(key, meta[key]) for key in peer_tags if key in meta])


def _peer_tag(key: str, value: str) -> str:
    return f"{key}:{without_addresses(_cut(value))}" if value else key


def _http_status(span: Span) -> int:
    number = span.metrics.get("http.status_code")
    if number is not None:
        return int(number) if 0 <= number < 2**32 else 0
    text = span.meta.get("http.status_code", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _grpc_status(span: Span) -> str:
    for key in _grpc_keys:
        text = span.meta.get(key)
        if text:
            code = _grpc_code(text)
            if code:
                return code
    for key in _grpc_keys:
        number = span.metrics.get(key)
        if number is not None and 0 <= number <= 255 and number == int(number):
            return str(int(number))
    return ""


def _grpc_code(text: str) -> str:
    if text.isascii() and text.isdigit():
        return str(int(text)) if len(text) <= 3 and int(text) <= 255 else ""
    return _grpc_codes.get(text.upper().removeprefix("STATUSCODE.").replace("_", ""), "")


_grpc_names = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALIDARGUMENT",
    "DEADLINEEXCEEDED",
    "NOTFOUND",
    "ALREADYEXISTS",
    "PERMISSIONDENIED",
    "RESOURCEEXHAUSTED",
    "FAILEDPRECONDITION",
    "ABORTED",
    "OUTOFRANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATALOSS",
    "UNAUTHENTICATED",
)
_grpc_codes = {name: str(code) for code, name in enumerate(_grpc_names)} | {"CANCELED": "1"}


def _cut(text: str, max_bytes: int = max_text_bytes) -> str:
    """At most `max_bytes` of UTF-8, on a character's boundary."""
    if len(text) * 4 <= max_bytes:
        return text
    encoded = text.encode()
    return text if len(encoded) <= max_bytes else encoded[:max_bytes].decode("utf-8", "ignore")
