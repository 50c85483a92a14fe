"""Logs."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting
from ddx_logs.rules import Rule

MiB = 1 << 20
log_types = ("function", "extension", "platform")


class Logs(Section):
    title = "Logs"

    serverless_enabled: bool | None = setting(
        "DD_SERVERLESS_LOGS_ENABLED", default=None, parser=parse.boolean,
        about="Collect logs. With `DD_LOGS_ENABLED` set too, either one being true is enough; with neither, logs are on.",
    )  # fmt: skip
    plain_enabled: bool | None = setting(
        "DD_LOGS_ENABLED", default=None, parser=parse.boolean, about="See `DD_SERVERLESS_LOGS_ENABLED`.",
    )  # fmt: skip
    one_source = (("serverless_enabled", "plain_enabled"),)
    lambda_types: tuple[str, ...] = setting(
        "DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE", default=log_types, parser=parse.some_of(*log_types),
        yaml="logs_config.lambda_logs_type",
        about="Whose lines are collected, with spaces between: function, extension, platform (START, END, REPORT, ...). What "
        "metrics and flushes need of the platform comes all the same.",
    )  # fmt: skip
    use_compression: bool = setting(
        "DD_LOGS_CONFIG_USE_COMPRESSION", default=True, parser=parse.boolean, yaml="logs_config.use_compression",
        about="Compress log payloads.",
    )  # fmt: skip
    compression_kind: str = setting(
        "DD_LOGS_CONFIG_COMPRESSION_KIND", default="zstd", parser=parse.compression_kind,
        yaml="logs_config.compression_kind", about="How log payloads are compressed: zstd, gzip or none.",
    )  # fmt: skip
    compression_level: int = setting(
        "DD_LOGS_CONFIG_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(-7, 22),
        yaml="logs_config.compression_level", general="DD_COMPRESSION_LEVEL",
        about="Level of compression of log payloads (zstd -7 to 22, the fastest below 0; gzip 1 to 9); 0 turns it off.",
    )  # fmt: skip
    rules: tuple[Rule, ...] = setting(
        "DD_LOGS_CONFIG_PROCESSING_RULES", default=(), parser=parse.log_rules, yaml="logs_config.processing_rules",
        about='Filters and masks: `[{"type": "exclude_at_match", "name": "n", "pattern": "RE2"}]`; also `include_at_match`, '
        "and `mask_sequences` with `replace_placeholder`.",
    )  # fmt: skip
    durable_invocations: int = setting(
        "DD_LAMBDA_DURABLE_FUNCTION_LOG_BUFFER_SIZE", default=0, parser=parse.whole_number(0, 10_000),
        about="Of how many invocations of a durable function the lines may wait for the span that names their execution.",
    )  # fmt: skip
    read_levels: bool = setting(
        "DDX_LOGS_READ_LEVELS", default=False, parser=parse.boolean,
        about="Take the status of a log from numeric levels, from `severity` and the like, and from the head of plain lines too.",
    )  # fmt: skip
    own_lines: str = setting(
        "DDX_LOGS_OWN_LINES", default="warnings", parser=parse.one_of("none", "warnings", "info"),
        about="Which of the agent's own lines are shipped as logs: none, warnings (and errors), or info as well.",
    )  # fmt: skip
    buffer_bytes: int = setting(
        "DDX_LOGS_BUFFER_BYTES", default=8 * MiB, parser=parse.whole_number(65536, 1 << 31),
        about="Most bytes of log records that wait to be encoded; beyond it the oldest are dropped and counted.",
    )  # fmt: skip

    @property
    def enabled(self) -> bool:
        switches = [each for each in (self.serverless_enabled, self.plain_enabled) if each is not None]
        return any(switches) if switches else True

    def switched_off(self) -> Logs:
        return Logs(**self.values() | {"serverless_enabled": False, "plain_enabled": False})

    @property
    def telemetry_types(self) -> tuple[str, ...]:
        """What to subscribe to: events of the platform in any case, lines where they are wanted."""
        lines = [kind for kind in ("function", "extension") if self.enabled and kind in self.lambda_types]
        return ("platform", *lines)

    @property
    def effective_level(self) -> int:
        """The zstd level, 0 for none at all."""
        return self.compression_level if self.use_compression else 0
