"""The addresses that data goes to, in place of the site's own and besides them."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.endpoints import AdditionalEndpoint, endpoint_map, logs_endpoints, url_without
from ddx_agent.config.setting import Section, setting


class Intakes(Section):
    title = "Intakes"

    metrics_url: str | None = setting(
        "DD_DD_URL", "DD_URL", default=None, parser=parse.url,
        about="Base URL of the metrics intake in place of `https://api.SITE`.",
    )  # fmt: skip
    logs_url: str | None = setting(
        "DD_LOGS_CONFIG_LOGS_DD_URL", default=None, parser=url_without("/api/v2/logs"), yaml="logs_config.logs_dd_url",
        about="Base URL of the log intake in place of `https://http-intake.logs.SITE`.",
    )  # fmt: skip
    traces_url: str | None = setting(
        "DD_APM_DD_URL", default=None, parser=url_without("/api/v0.2/traces"), yaml="apm_config.apm_dd_url",
        about="Base URL of the trace and stats intake in place of `https://trace.agent.SITE`.",
    )  # fmt: skip
    more_metrics: tuple[AdditionalEndpoint, ...] = setting(
        "DD_ADDITIONAL_ENDPOINTS", default=(), parser=endpoint_map(), is_secret=True,
        about='Metrics go there as well: `{"https://api.datadoghq.eu": ["key", ...]}`.',
    )  # fmt: skip
    more_traces: tuple[AdditionalEndpoint, ...] = setting(
        "DD_APM_ADDITIONAL_ENDPOINTS", default=(), parser=endpoint_map(path="/api/v0.2/traces"), is_secret=True,
        yaml="apm_config.additional_endpoints",
        about='Traces and stats go there as well: `{"https://trace.agent.datadoghq.eu": ["key", ...]}`.',
    )  # fmt: skip
    more_logs: tuple[AdditionalEndpoint, ...] = setting(
        "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", default=(), parser=logs_endpoints, is_secret=True,
        yaml="logs_config.additional_endpoints",
        about='Logs go there as well: `[{"api_key": "key", "Host": "host", "Port": 443, "is_reliable": true}]`.',
    )  # fmt: skip
    profiles_url: str | None = setting(
        "DD_APM_PROFILING_DD_URL", default=None, parser=url_without("/api/v2/profile"),
        yaml="apm_config.profiling_dd_url",
        about="Base URL of the profile intake in place of `https://intake.profile.SITE`.",
    )  # fmt: skip
    more_profiles: tuple[AdditionalEndpoint, ...] = setting(
        "DD_APM_PROFILING_ADDITIONAL_ENDPOINTS", default=(), parser=endpoint_map(path="/api/v2/profile"),
        is_secret=True, yaml="apm_config.profiling_additional_endpoints",
        about='Profiles go there as well: `{"https://intake.profile.datadoghq.eu": ["key", ...]}`.',
    )  # fmt: skip
    proxied_url: str | None = setting(
        "DDX_PROXIED_URL", default=None, parser=parse.url,
        about="Base URL in place of the site's for all other intakes that libraries reach through the trace agent's port "
        "(LLM observability, debugger, instrumentation telemetry).",
    )  # fmt: skip
    proxied_buffer_bytes: int = setting(
        "DDX_PROXIED_BUFFER_BYTES", default=16 << 20, parser=parse.whole_number(65536, 1 << 31),
        about="Most bytes of such requests, profiles included, that wait to be sent; beyond it libraries are told to wait (429).",
    )  # fmt: skip
    worker_enabled: bool = setting(
        "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", default=False, parser=parse.boolean,
        yaml="observability_pipelines_worker.logs.enabled",
        about="Send logs to an Observability Pipelines Worker instead of Datadog.",
    )  # fmt: skip
    worker_url: str | None = setting(
        "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL", default=None, parser=parse.whole_url, is_secret=True,
        yaml="observability_pipelines_worker.logs.url",
        about="The worker's URL, used as it is. With the worker on and no usable URL no logs are shipped.",
    )  # fmt: skip

    @property
    def uses_worker(self) -> bool:
        return self.worker_enabled and self.worker_url is not None

    @property
    def lacks_worker(self) -> bool:
        """There is no way for logs: one around the worker, which may be there to redact them, is none."""
        return self.worker_enabled and self.worker_url is None
