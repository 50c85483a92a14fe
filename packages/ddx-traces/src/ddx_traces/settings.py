"""What the traces pipeline can be told. The defaults are the documented ones."""

from __future__ import annotations

from typing import Any

import msgspec

from .obfuscate import ObfuscationSettings
from .rules import FilterSettings, ReplaceRule


class TracesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are in bytes and before compression; addresses are `host:port`."""

    function_name: str | None = None
    service: str | None = None
    """The user's (DD_SERVICE)."""
    env: str | None = None
    """The user's (DD_ENV), where a tracer says nothing."""
    version: str | None = None
    """The user's (DD_VERSION), where a tracer says nothing."""
    runtime_api: str | None = "127.0.0.1:9001"
    """The platform's: spans that tell of calls to it are dropped."""
    own_addresses: tuple[str, ...] = ("127.0.0.1:8124", "127.0.0.1:8125")
    """The agent's: spans that tell of calls to them are dropped."""
    origin: str = "lambda"
    """Names the platform on every span."""
    represents_services: bool = True
    """Inferred spans carry the service names of what they stand for (DD_TRACE_AWS_SERVICE_REPRESENTATION_ENABLED)."""
    computes_stats: bool = False
    """Count the spans of tracers that do not (DD_LAMBDA_EXTENSION_COMPUTE_STATS), instead of asking the backend to, and leave
    out what tracers have marked as not sampled."""
    tracers_may_drop: bool = False
    """A tracer that counts its own traces need not send those that are not sampled. Only for programs that end in order: a
    tracer keeps ten seconds of statistics to itself, and a frozen function may never come to send them."""
    receiver_port: int = 8126
    """Only told (`/info`), as are the next three: where the agent listens."""
    receiver_socket: str = ""
    statsd_port: int = 8125
    told_of_filters: dict[str, Any] = {}
    """The filters under the names of that page."""
    filters: FilterSettings = FilterSettings()
    """Leave whole traces out."""
    obfuscation: ObfuscationSettings = ObfuscationSettings()
    """What is hidden besides what always is."""
    replace_rules: tuple[ReplaceRule, ...] = ()
    """Rewrite tags and resources, at the end."""
    max_connections: int = 256
    max_request_bytes: int = 50 << 20
    max_stats_request_bytes: int = 2 << 20
    max_buffer_bytes: int = 16 << 20
    """Above it, and while nothing more can be packed, tracers are told to come back later."""
    max_stats_buffer_bytes: int = 4 << 20
    max_counted_bytes: int = 8 << 20
    """About what counting spans may hold."""
    max_payload_bytes: int = 3_200_000
    """The intake takes some 15 MB, the vendor's agent sends 3.2 MB at most; a smaller one needs less memory at once."""
    max_stats_payload_bytes: int = 3 << 20
