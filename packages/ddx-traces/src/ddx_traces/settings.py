"""What the traces pipeline can be told. The defaults are the documented ones."""

from __future__ import annotations

from typing import Any

import msgspec

from .obfuscate import ObfuscationSettings
from .rules import FilterSettings, ReplaceRule


class TracesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are in bytes and before compression.

    `service`, `env` and `version` are the user's (DD_SERVICE, DD_ENV, DD_VERSION); the last two stand in where a tracer
    says nothing. `runtime_api` and `own_addresses` are `host:port` of the platform and of the agent: spans that tell of
    calls to them are dropped. `origin` names the platform on every span. `represents_services`: inferred spans carry the
    service names of what they stand for (DD_TRACE_AWS_SERVICE_REPRESENTATION_ENABLED).

    `computes_stats`: the agent counts the spans of tracers that do not (DD_LAMBDA_EXTENSION_COMPUTE_STATS), instead of asking
    the backend to, and leaves out what tracers have marked as not sampled; `max_counted_bytes` is about what that may hold.

    `tracers_may_drop`: a tracer that counts its own traces need not send those that are not sampled. Only for programs that
    end in order: a tracer keeps ten seconds of statistics to itself, and a frozen function may never come to send them.

    `filters` leave whole traces out, `obfuscation` says what is hidden besides what always is, `replace_rules` rewrite tags
    and resources at the end.

    `receiver_port`, `receiver_socket`, `statsd_port` and `told_of_filters` are only told (`/info`): where the agent listens,
    and the filters under the names of that page.

    `max_buffer_bytes`: above it, and while nothing more can be packed, tracers are told to come back later. `max_payload_bytes`:
    the intake takes some 15 MB, the vendor's agent sends 3.2 MB at most; a smaller one needs less memory at once.
    """

    function_name: str | None = None
    service: str | None = None
    env: str | None = None
    version: str | None = None
    runtime_api: str | None = "127.0.0.1:9001"
    own_addresses: tuple[str, ...] = ("127.0.0.1:8124", "127.0.0.1:8125")
    origin: str = "lambda"
    represents_services: bool = True
    computes_stats: bool = False
    tracers_may_drop: bool = False
    receiver_port: int = 8126
    receiver_socket: str = ""
    statsd_port: int = 8125
    told_of_filters: dict[str, Any] = {}
    filters: FilterSettings = FilterSettings()
    obfuscation: ObfuscationSettings = ObfuscationSettings()
    replace_rules: tuple[ReplaceRule, ...] = ()
    max_connections: int = 256
    max_request_bytes: int = 50 << 20
    max_stats_request_bytes: int = 2 << 20
    max_buffer_bytes: int = 16 << 20
    max_stats_buffer_bytes: int = 4 << 20
    max_counted_bytes: int = 8 << 20
    max_payload_bytes: int = 3_200_000
    max_stats_payload_bytes: int = 3 << 20
