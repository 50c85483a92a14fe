"""The intake's endpoints as a table: path to kind, limits, and what Datadog answers. Pure.

Limits are those of the public API reference, and where it has none those that the agents keep to.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from ddx_core.http import Response

MiB = 1 << 20

type_json: Final = "application/json"

any_body: Final = 64 * MiB
"""For bodies that are only kept: profiles are the largest, at some ten MiB."""


class Errors(Enum):
    """The two shapes of an error's body."""

    OBJECTS = "logs"
    """`{"errors":[{"status":"400","title":"Bad Request","detail":"…"}]}`"""
    TEXTS = "metrics"
    """`{"errors":["…"]}`"""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One path of the intake."""

    path: str
    kind: str
    wire_limit: int = any_body
    """Bytes of a body as it comes."""
    raw_limit: int = any_body
    """Bytes of a body once its Content-Encoding is undone."""
    methods: tuple[str, ...] = ("POST", "PUT")
    """Those that are taken; any other is 404."""
    status: int = 202
    body: bytes = b"{}"
    errors: Errors = Errors.TEXTS
    needs_key: bool = True
    missing_key: int = 403

    def accepted(self, status: int | None = None) -> Response:
        return Response(status=status or self.status, body=self.body, content_type=type_json)

    def refused(self, status: int, title: str, detail: str) -> Response:
        match self.errors:
            case Errors.OBJECTS:
                errors: list[object] = [{"status": str(status), "title": title, "detail": detail}]
            case Errors.TEXTS:
                errors = [detail or title]
        return Response(status=status, body=msgspec.json.encode({"errors": errors}), content_type=type_json)


_status_ok = b'{"status":"ok"}'
_no_errors = b'{"errors":[]}'
_rates = b'{"rate_by_service":{"service:,env:":1}}'


def _logs(path: str, *, status: int = 202) -> Endpoint:
    return Endpoint(
        path=path,
        kind="logs",
        wire_limit=5 * MiB,
        raw_limit=5 * MiB,
        status=status,
        errors=Errors.OBJECTS,
        missing_key=401,
    )


def _from_tracers(path: str, kind: str, *, status: int = 200, body: bytes = b"{}") -> Endpoint:
    """What a tracer would say to an agent: no API key."""
    return Endpoint(path=path, kind=kind, wire_limit=50 * MiB, status=status, body=body, needs_key=False)


endpoints: Final = (
    _logs("/api/v2/logs"),
    _logs("/v1/input", status=200),
    _logs("/v1/input/{key}", status=200),
    Endpoint(path="/api/v1/series", kind="series", wire_limit=3_200_000, raw_limit=62_914_560, body=_status_ok),
    Endpoint(path="/api/v2/series", kind="series", wire_limit=512_000, raw_limit=5_242_880, body=_no_errors),
    Endpoint(path="/api/beta/sketches", kind="sketches", wire_limit=2_621_440, raw_limit=4_194_304, body=_status_ok),
    Endpoint(
        path="/api/v1/distribution_points",
        kind="distribution_points",
        wire_limit=3_200_000,
        raw_limit=62_914_560,
        body=_status_ok,
    ),
    Endpoint(path="/api/v0.2/traces", kind="traces", wire_limit=15_000_000, raw_limit=15_000_000, status=200),
    Endpoint(path="/api/v0.2/stats", kind="stats", wire_limit=15_000_000),
    Endpoint(path="/api/v1/validate", kind="validate", methods=("GET", "POST"), status=200, body=b'{"valid":true}'),
    Endpoint(path="/api/v1/check_run", kind="check_run", body=_status_ok),
    Endpoint(path="/api/v1/events", kind="events", body=_status_ok),
    Endpoint(path="/intake", kind="events", body=_status_ok),
    Endpoint(path="/intake/", kind="events", body=_status_ok),
    Endpoint(path="/api/v2/profile", kind="profile"),
    Endpoint(path="/api/v0.1/pipeline_stats", kind="pipeline_stats"),
    Endpoint(path="/api/v2/apmtelemetry", kind="telemetry"),
    Endpoint(path="/api/v2/llmobs", kind="llmobs"),
    Endpoint(path="/api/intake/llm-obs/v1/eval-metric", kind="eval_metric"),
    Endpoint(path="/api/intake/llm-obs/v2/eval-metric", kind="eval_metric"),
    Endpoint(path="/api/v2/debugger", kind="debugger"),
    _from_tracers("/v0.3/traces", "traces", body=b"OK\n"),
    _from_tracers("/v0.4/traces", "traces", body=_rates),
    _from_tracers("/v0.5/traces", "traces", body=_rates),
    _from_tracers("/v0.6/stats", "stats", status=202),
    _from_tracers("/v0.1/pipeline_stats", "pipeline_stats"),
    _from_tracers("/profiling/v1/input", "profile"),
    _from_tracers("/debugger/v1/input", "debugger"),
    _from_tracers("/debugger/v1/diagnostics", "debugger"),
    _from_tracers("/debugger/v2/input", "debugger"),
    _from_tracers("/telemetry/proxy/api/v2/apmtelemetry", "telemetry"),
    _from_tracers("/evp_proxy/{rest*}", "evp"),
)

anything_else: Final = Endpoint(path="/{rest*}", kind="other", methods=("POST", "PUT", "PATCH"), needs_key=False)

kinds: Final = tuple(dict.fromkeys(endpoint.kind for endpoint in (*endpoints, anything_else)))

tracer_info: Final = {
    "version": "ddx-intake",
    "endpoints": [endpoint.path for endpoint in endpoints if not endpoint.needs_key and "{" not in endpoint.path]
    + ["/evp_proxy/v2/", "/evp_proxy/v4/"],
    "client_drop_p0s": False,
    "span_events": True,
    "span_meta_structs": True,
}
"""The answer to `GET /info`, from which a tracer learns what it may send."""
