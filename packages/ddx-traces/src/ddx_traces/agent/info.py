"""The page by which tracers learn what this agent can do. Pure; made when the first of them asks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..settings import TracesSettings
from ..stats.counting import peer_tags, span_kinds

agent_version: Final = "7.78.0"
"""The release of the vendor's agent whose protocol this one speaks: tracers compare it to know what they may send.

The releases 7.77 are told apart by Go tracers: they counted v1.0 traces wrongly.
"""

# The headers that are passed on to the event platform's intakes; tracers ask before they rely on one.
evp_headers: Final = (
    "Content-Type", "Accept-Encoding", "Content-Encoding", "User-Agent", "DD-CI-PROVIDER-NAME",
    "DD-EVP-ORIGIN", "DD-EVP-ORIGIN-VERSION", "X-Datadog-Trace-ID", "X-Datadog-Parent-ID",
)  # fmt: skip


class Info(msgspec.Struct, frozen=True):
    """`state` changes when the page does: answers carry it so that tracers know when to look again."""

    body: bytes
    state: str


def make_info(settings: TracesSettings, endpoints: Sequence[str]) -> Info:
    page: dict[str, Any] = {
        "version": agent_version,
        "endpoints": list(endpoints),
        "client_drop_p0s": settings.tracers_may_drop,
        "span_meta_structs": True,
        "span_events": True,
        "long_running_spans": False,
        "peer_tags": list(peer_tags),
        "span_kinds_stats_computed": list(span_kinds),
        "config": {
            "default_env": settings.env or "none",
            "receiver_port": settings.receiver_port,
            "receiver_socket": settings.receiver_socket,
            "max_request_bytes": settings.max_request_bytes,
            "statsd_port": settings.statsd_port,
        },
    }
    if any(path.startswith("/evp_proxy/") for path in endpoints):
        page["evp_proxy_allowed_headers"] = evp_headers
    page.update(settings.told_of_filters)
    body = msgspec.json.encode(page)
    return Info(body, hashlib.sha256(body).hexdigest())
