"""The addresses that data goes to."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting


class Intakes(Section):
    title = "Intakes"

    metrics_url: str | None = setting(
        "DD_DD_URL", "DD_URL", default=None, parser=parse.url,
        about="Base URL of the metrics intake in place of `https://api.SITE`.",
    )  # fmt: skip
    logs_url: str | None = setting(
        "DD_LOGS_CONFIG_LOGS_DD_URL", default=None, parser=parse.url, yaml="logs_config.logs_dd_url",
        about="Base URL of the log intake in place of `https://http-intake.logs.SITE`.",
    )  # fmt: skip
    traces_url: str | None = setting(
        "DD_APM_DD_URL", default=None, parser=parse.url, yaml="apm_config.apm_dd_url",
        about="Base URL of the trace and stats intake in place of `https://trace.agent.SITE`.",
    )  # fmt: skip
    flush_timeout_s: float = setting(
        "DD_FLUSH_TIMEOUT", default=30.0, parser=parse.seconds(0.1, 900),
        about="Seconds that one attempt to deliver a payload may take.",
    )  # fmt: skip
