"""What the embedded intake keeps: one frozen struct for each thing that can arrive, as queries and the page see it.

`request` is always the id of the request that brought the item (`Store.requests`). Absence is None.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .sketches import Sketch, StatsSketch


class ReceivedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the intake. Nothing secret is kept: of the API key there is a fingerprint and, of long ones, the end."""

    id: int
    kind: str
    """`logs`, `series`, `sketches`, `distribution_points`, `traces`, `stats`, `validate`, or the name of a pass-through kind."""
    arrived_s: float
    """Unix time."""
    method: str
    path: str
    query: str
    headers: dict[str, str]
    wire_bytes: int
    """Size of the body as it came, compressed or not."""
    decoded_bytes: int
    status: int | None
    """The status of the answer; None when the connection ended without one."""
    answer: str
    """`normal`, or the scripted answer that took its place."""
    accepted: bool
    """Whether the intake took the data: what was refused, lost or undecodable is in no other table."""
    items: int
    """Log entries, metric points, sketches, spans or stats groups in it."""
    samples: int
    """Values that were put into the sketches; hits in the stats groups; else the same as `items`."""
    error: str | None
    """Why it was refused; of a large body, which is answered before it is read, what was wrong with it."""
    key_id: str | None
    """Eight hex digits that tell API keys apart."""
    key_end: str | None
    """The last four characters of an API key of at least 16."""
    fingerprint: str
    """Of the decoded body: equal for the same payload sent again."""

    @property
    def encoding(self) -> str:
        return self.headers.get("content-encoding", "identity")


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """One log entry."""

    request: int
    message: str
    """The text, also when the entry has it one level down (`message.message`)."""
    status: str | None
    service: str | None
    source: str | None
    hostname: str | None
    tags: tuple[str, ...]
    timestamp_ms: int | None
    request_id: str | None
    """`lambda.request_id`."""
    arn: str | None
    """`lambda.arn`."""
    raw: msgspec.Raw
    """The entry's JSON as it came."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The whole entry."""
        return msgspec.json.decode(self.raw, type=dict[str, Any])


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Which product made a metric: the three numbers of its origin metadata."""

    product: int = 0
    category: int = 0
    service: int = 0


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    type: str = ""
    name: str = ""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a metric: a value, or a sketch of many."""

    request: int
    name: str
    type: str
    """`unspecified`, `count`, `rate`, `gauge`, or `distribution`."""
    tags: tuple[str, ...]
    timestamp_s: int
    value: float | None
    """None for distributions, and for a point that came without a number."""
    sketch: Sketch | None
    host: str | None = None
    interval_s: int | None = None
    unit: str | None = None
    source_type: str | None = None
    resources: tuple[Resource, ...] = ()
    origin: Origin | None = None

    @property
    def cnt(self) -> int:
        if self.sketch is not None:
            return self.sketch.cnt
        return 0 if self.value is None else 1

    @property
    def sum(self) -> float | None:
        return self.value if self.sketch is None else self.sketch.sum

    @property
    def min(self) -> float | None:
        return self.value if self.sketch is None else self.sketch.min

    @property
    def max(self) -> float | None:
        return self.value if self.sketch is None else self.sketch.max

    @property
    def avg(self) -> float | None:
        return self.value if self.sketch is None else self.sketch.avg

    def quantile(self, q: float) -> float | None:
        return self.value if self.sketch is None else self.sketch.quantile(q)


class TracePayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent says once for many spans: about itself, and about the tracer they came from."""

    agent_hostname: str = ""
    agent_env: str = ""
    agent_version: str = ""
    agent_tags: dict[str, str] = {}
    target_tps: float = 0.0
    error_tps: float = 0.0
    rare_sampler: bool = False
    container_id: str = ""
    language: str = ""
    language_version: str = ""
    tracer_version: str = ""
    runtime_id: str = ""
    env: str = ""
    hostname: str = ""
    app_version: str = ""
    tags: dict[str, str] = {}


class SpanLink(msgspec.Struct, frozen=True, kw_only=True):
    trace_id: int
    trace_id_high: int
    span_id: int
    attributes: dict[str, Any]
    tracestate: str
    flags: int


class SpanEvent(msgspec.Struct, frozen=True, kw_only=True):
    time_ns: int
    name: str
    attributes: dict[str, Any]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span with what its chunk and payload say about it."""

    request: int
    payload: TracePayload
    chunk: int
    """Spans of one request with the same number came in one chunk."""
    priority: int
    origin: str
    chunk_tags: dict[str, str]
    dropped_trace: bool
    trace_id: int
    """The lower 64 bits."""
    trace_id_high: int
    """The upper 64 bits, from the payload or from `_dd.p.tid` of some span of the chunk; 0 when neither tells."""
    span_id: int
    parent_id: int
    name: str
    service: str
    resource: str
    type: str
    start_ns: int
    duration_ns: int
    error: int
    meta: dict[str, str]
    metrics: dict[str, float]
    meta_struct: dict[str, bytes]
    links: tuple[SpanLink, ...]
    events: tuple[SpanEvent, ...]


class StatsGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Trace statistics of one group of spans in one time bucket, with what its payload says about it."""

    request: int
    agent_hostname: str
    agent_env: str
    agent_version: str
    client_computed: bool
    hostname: str
    env: str
    version: str
    payload_service: str
    language: str
    tracer_version: str
    runtime_id: str
    container_id: str
    tags: tuple[str, ...]
    git_commit_sha: str
    process_tags: str
    sequence: int
    start_ns: int
    duration_ns: int
    """Of the bucket; the time that spans took is `total_ns`."""
    service: str
    name: str
    resource: str
    type: str
    http_status_code: int
    grpc_status_code: str
    http_method: str
    http_endpoint: str
    db_type: str
    span_kind: str
    peer_tags: tuple[str, ...]
    is_trace_root: int
    """0 not said, 1 yes, 2 no."""
    synthetics: bool
    service_source: str
    hits: int
    top_level_hits: int
    errors: int
    total_ns: int
    ok: StatsSketch
    error: StatsSketch


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, as somebody told."""

    request: int
    source: str
    title: str
    text: str
    timestamp_s: int | None
    priority: str
    alert_type: str
    aggregation_key: str | None
    host: str | None
    tags: tuple[str, ...]


class ServiceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How something was when it was looked at."""

    request: int
    name: str
    status: int
    """0 OK, 1 warning, 2 critical, 3 unknown."""
    timestamp_s: int | None
    message: str
    host: str | None
    tags: tuple[str, ...]


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """A body of a pass-through kind, its Content-Encoding undone (unless that failed)."""

    request: int
    kind: str
    path: str
    content_type: str | None
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All that was accepted, by signal, for comparing with a sender's accounts."""

    requests: int
    refused: int
    """Requests whose data were not taken: scripted failures, unknown keys, undecodable or too large bodies."""
    logs: int
    series_points: int
    sketches: int
    sketch_samples: int
    """Values that were put into the sketches."""
    spans: int
    stats_groups: int
    stats_hits: int
    raw: dict[str, int]
    """Requests by pass-through kind."""
    events: int = 0
    service_checks: int = 0
    not_kept: int
    """Items that were counted only, because of the store's limits."""


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """The same thing, accepted more than once for one API key."""

    what: str
    """`payload`, `log` or `span`."""
    times: int
    requests: tuple[int, ...]
    example: str
    """Enough to recognise it: the start of the log's text, the span's name and ids, the kind of the payload."""
