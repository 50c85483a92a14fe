"""The trace agent."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting

MiB = 1 << 20


class Traces(Section):
    title = "Traces"

    compression_level: int = setting(
        "DD_APM_CONFIG_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(0, 22),
        yaml="apm_config.compression_level", general="DD_COMPRESSION_LEVEL",
        about="zstd level of trace payloads; 0 turns compression off.",
    )  # fmt: skip
    buffer_bytes: int = setting(
        "DDX_TRACES_BUFFER_BYTES", default=16 * MiB, parser=parse.whole_number(65536, 1 << 31),
        about="Most bytes of encoded spans that wait to be sent; beyond it tracers are told to wait (429).",
    )  # fmt: skip
