"""Every setting: its variables, how it is read, its default, and one sentence on what it does.

`docs/configuration.md` is generated from this file. Rule: a setting is one field and one call of `setting`; code outside
this package never reads the environment.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ddx_core.flush import Strategy, default_strategy

from . import parse


class Setting:
    """What `load` and the documentation need to know of a field. The first variable that is set wins."""

    __slots__ = ("is_secret", "parse", "section", "variables")

    def __init__(self, variables: tuple[str, ...], parser: parse.Parser, section: str, *, is_secret: bool) -> None:
        self.variables = variables
        self.parse = parser
        self.section = section
        self.is_secret = is_secret


def setting(
    *variables: str, default: Any, parser: parse.Parser, about: str, section: str, is_secret: bool = False
) -> Any:
    return Field(
        default=default,
        description=about,
        json_schema_extra={"x": Setting(variables, parser, section, is_secret=is_secret)},  # type: ignore[dict-item]
    )


MiB = 1 << 20

general = "General"
intakes = "Intakes"
flushing = "Flushing"
logs = "Logs"
metrics = "Metrics"
traces = "Traces"
own = "The agent itself"


class Config(BaseModel):
    """The effective configuration. Made by `load_config`; frozen."""

    # The validator is built when somebody validates: `load_config` need not, since its parsers give the right types (a test
    # validates what they give), and building it would cost every cold start 20 ms.
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid", defer_build=True)

    api_key: str | None = setting(
        "DD_API_KEY", default=None, parser=parse.secret, section=general, is_secret=True,
        about="Datadog API key. Without one everything waits in the buffers.",
    )  # fmt: skip
    site: str = setting(
        "DD_SITE", default="datadoghq.com", parser=parse.site, section=general,
        about="Datadog site that all data goes to.",
    )  # fmt: skip
    env: str | None = setting(
        "DD_ENV", default=None, parser=parse.text, section=general, about="Tag `env` on everything."
    )
    service: str | None = setting(
        "DD_SERVICE", default=None, parser=parse.text, section=general,
        about="Tag `service` on everything (lower case), and the service of logs.",
    )  # fmt: skip
    version: str | None = setting(
        "DD_VERSION", default=None, parser=parse.text, section=general,
        about="Tag `version` on everything, exactly as written.",
    )  # fmt: skip
    tags: tuple[tuple[str, str], ...] = setting(
        "DD_TAGS", default=(), parser=parse.tags, section=general,
        about="More tags on everything: `key:value` pairs separated by commas or spaces.",
    )  # fmt: skip
    log_level: str = setting(
        "DD_LOG_LEVEL", default="info", parser=parse.log_level, section=general,
        about="How much the agent says of itself: error, warn, info, debug or trace.",
    )  # fmt: skip

    metrics_url: str | None = setting(
        "DD_DD_URL", "DD_URL", default=None, parser=parse.url, section=intakes,
        about="Base URL of the metrics intake in place of `https://api.SITE`.",
    )  # fmt: skip
    logs_url: str | None = setting(
        "DD_LOGS_CONFIG_LOGS_DD_URL", default=None, parser=parse.url, section=intakes,
        about="Base URL of the log intake in place of `https://http-intake.logs.SITE`.",
    )  # fmt: skip
    traces_url: str | None = setting(
        "DD_APM_DD_URL", default=None, parser=parse.url, section=intakes,
        about="Base URL of the trace and stats intake in place of `https://trace.agent.SITE`.",
    )  # fmt: skip
    flush_timeout_s: float = setting(
        "DD_FLUSH_TIMEOUT", default=30.0, parser=parse.seconds(0.1, 900), section=intakes,
        about="Seconds that one attempt to deliver a payload may take.",
    )  # fmt: skip

    flush_strategy: Strategy = setting(
        "DD_SERVERLESS_FLUSH_STRATEGY", default=default_strategy, parser=parse.strategy, section=flushing,
        about="When data leaves: `default`, `end`, `end,MS`, `periodically,MS` or `continuously,MS`.",
    )  # fmt: skip
    max_added_s: float = setting(
        "DDX_MAX_ADDED_SECONDS", default=2.0, parser=parse.seconds(0, 900), section=flushing,
        about="Most seconds of billed time that a flush may add after the function's response; the rest is sent later.",
    )  # fmt: skip

    serverless_logs_enabled: bool | None = setting(
        "DD_SERVERLESS_LOGS_ENABLED", default=None, parser=parse.boolean, section=logs,
        about="Collect logs. With `DD_LOGS_ENABLED` set too, either one being true is enough; with neither, logs are on.",
    )  # fmt: skip
    plain_logs_enabled: bool | None = setting(
        "DD_LOGS_ENABLED", default=None, parser=parse.boolean, section=logs,
        about="See `DD_SERVERLESS_LOGS_ENABLED`.",
    )  # fmt: skip
    logs_use_compression: bool = setting(
        "DD_LOGS_CONFIG_USE_COMPRESSION", default=True, parser=parse.boolean, section=logs,
        about="Compress log payloads.",
    )  # fmt: skip
    logs_compression_level: int = setting(
        "DD_LOGS_CONFIG_COMPRESSION_LEVEL", "DD_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(0, 22),
        section=logs, about="zstd level of log payloads; 0 turns compression off.",
    )  # fmt: skip
    logs_buffer_bytes: int = setting(
        "DDX_LOGS_BUFFER_BYTES", default=8 * MiB, parser=parse.whole_number(65536, 1 << 31), section=logs,
        about="Most bytes of log records that wait to be encoded; beyond it the oldest are dropped and counted.",
    )  # fmt: skip

    enhanced_metrics: bool = setting(
        "DD_ENHANCED_METRICS", default=True, parser=parse.boolean, section=metrics,
        about="Produce the metrics `aws.lambda.enhanced.*`.",
    )  # fmt: skip
    metric_namespace: str | None = setting(
        "DD_STATSD_METRIC_NAMESPACE", default=None, parser=parse.namespace, section=metrics,
        about="Prefix for the names of DogStatsD metrics.",
    )  # fmt: skip
    metrics_exclude_tags: tuple[str, ...] = setting(
        "DD_LAMBDA_CUSTOMER_METRICS_EXCLUDE_TAGS", default=(), parser=parse.comma_list, section=metrics,
        about="Keys of function tags that are left off custom metrics.",
    )  # fmt: skip
    metrics_compression_level: int = setting(
        "DD_METRICS_CONFIG_COMPRESSION_LEVEL", "DD_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(0, 22),
        section=metrics, about="zstd level of metric payloads; 0 turns compression off.",
    )  # fmt: skip

    traces_compression_level: int = setting(
        "DD_APM_CONFIG_COMPRESSION_LEVEL", "DD_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(0, 22),
        section=traces, about="zstd level of trace payloads; 0 turns compression off.",
    )  # fmt: skip
    traces_buffer_bytes: int = setting(
        "DDX_TRACES_BUFFER_BYTES", default=16 * MiB, parser=parse.whole_number(65536, 1 << 31), section=traces,
        about="Most bytes of encoded spans that wait to be sent; beyond it tracers are told to wait (429).",
    )  # fmt: skip

    queue_bytes: int = setting(
        "DDX_QUEUE_BYTES", default=8 * MiB, parser=parse.whole_number(65536, 1 << 31), section=own,
        about="Most bytes of compressed payloads that wait for one endpoint of one signal; beyond it the oldest are dropped.",
    )  # fmt: skip
    spool_dir: str = setting(
        "DDX_SPOOL_DIR", default="/tmp/ddx-spool", parser=parse.text, section=own,  # noqa: S108
        about="Where payloads wait that could not be sent before a timed-out sandbox was reset.",
    )  # fmt: skip
    spool_bytes: int = setting(
        "DDX_SPOOL_BYTES", default=16 * MiB, parser=parse.whole_number(0, 1 << 31), section=own,
        about="Most bytes in the spool; 0 turns it off.",
    )  # fmt: skip
    accounts_file: str | None = setting(
        "DDX_ACCOUNTS_FILE", default=None, parser=parse.text, section=own,
        about="A file to which the final accounts are appended at shutdown, one JSON line.",
    )  # fmt: skip

    @property
    def are_logs_enabled(self) -> bool:
        switches = [each for each in (self.serverless_logs_enabled, self.plain_logs_enabled) if each is not None]
        return any(switches) if switches else True


def settings_of(model: type[BaseModel]) -> dict[str, Setting]:
    """The settings of a model by field name, in the order in which they were written."""
    found: dict[str, Setting] = {}
    for name, field in model.model_fields.items():
        extra: Any = field.json_schema_extra
        found[name] = extra["x"]
    return found


# Bound in the first milliseconds, before any configuration is read; see ddx_agent.bootstrap.
ports_read_at_start: tuple[tuple[str, int | str, str], ...] = (
    ("DDX_LIFECYCLE_PORT", 8124, "TCP port of the endpoints for tracers and of the status page."),
    ("DD_DOGSTATSD_PORT", 8125, "UDP port of DogStatsD."),
    ("DD_APM_RECEIVER_PORT", 8126, "TCP port of the trace agent."),
    ("DDX_TELEMETRY_PORT", 8999, "TCP port that Lambda posts telemetry to."),
    ("DDX_TELEMETRY_HOST", "0.0.0.0", "Address that the telemetry port is bound to."),  # noqa: S104
)
