"""The trace agent."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting

MiB = 1 << 20


class Traces(Section):
    title = "Traces"

    enabled: bool = setting(
        "DD_APM_ENABLED", default=True, parser=parse.boolean, yaml="apm_config.enabled",
        about="Receive traces. Off, nothing listens for tracers.",
    )  # fmt: skip
    receiver_socket: str | None = setting(
        "DD_APM_RECEIVER_SOCKET", default=None, parser=parse.text, yaml="apm_config.receiver_socket",
        about="Path of a Unix socket on which traces are taken too.",
    )  # fmt: skip
    max_request_bytes: int = setting(
        "DD_APM_MAX_PAYLOAD_SIZE", default=50 * MiB, parser=parse.whole_number(65536, 1 << 30),
        yaml="apm_config.max_payload_size",
        about="Most bytes of one tracer's request, decompressed; a larger one is answered 413.",
    )  # fmt: skip
    max_connections: int = setting(
        "DD_APM_CONNECTION_LIMIT", default=256, parser=parse.whole_number(1, 65536),
        yaml="apm_config.connection_limit",
        about="Most connections of tracers at once; more wait until one of them is idle.",
    )  # fmt: skip
    tracers_may_drop: bool = setting(
        "DDX_TRACERS_MAY_DROP", default=False, parser=parse.boolean, yaml="ddx_tracers_may_drop",
        about="Tell tracers (`client_drop_p0s`) that those which count their own traces need not send unsampled ones.",
    )  # fmt: skip
    compression_level: int = setting(
        "DD_APM_CONFIG_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(0, 22),
        yaml="apm_config.compression_level", general="DD_COMPRESSION_LEVEL",
        about="zstd level of trace payloads; 0 turns compression off.",
    )  # fmt: skip
    computes_stats: bool = setting(
        "DD_LAMBDA_EXTENSION_COMPUTE_STATS", "DD_AGENT_STATS_COMPUTATION_ENABLED", default=False, parser=parse.boolean,
        about="Compute trace statistics here, for tracers that do not; what is not sampled is then not sent.",
    )  # fmt: skip
    buffer_bytes: int = setting(
        "DDX_TRACES_BUFFER_BYTES", default=16 * MiB, parser=parse.whole_number(65536, 1 << 31),
        about="Most bytes of encoded spans that wait to be sent; beyond it tracers are told to wait (429).",
    )  # fmt: skip
