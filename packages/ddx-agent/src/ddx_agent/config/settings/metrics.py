"""DogStatsD and the enhanced metrics."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting


class Metrics(Section):
    title = "Metrics"

    enhanced: bool = setting(
        "DD_ENHANCED_METRICS", default=True, parser=parse.boolean,
        about="Produce the metrics `aws.lambda.enhanced.*`.",
    )  # fmt: skip
    namespace: str | None = setting(
        "DD_STATSD_METRIC_NAMESPACE", default=None, parser=parse.namespace,
        about="Prefix for the names of DogStatsD metrics.",
    )  # fmt: skip
    tags: tuple[tuple[str, str], ...] = setting(
        "DD_DOGSTATSD_TAGS", default=(), parser=parse.tags, about="More tags on metrics alone; `DD_TAGS` is stronger.",
    )  # fmt: skip
    exclude_tags: tuple[str, ...] = setting(
        "DD_LAMBDA_CUSTOMER_METRICS_EXCLUDE_TAGS", default=(), parser=parse.comma_list,
        about="Keys of function tags that are left off custom metrics.",
    )  # fmt: skip
    compression_level: int = setting(
        "DD_METRICS_CONFIG_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(0, 22),
        yaml="metrics_config.compression_level", general="DD_COMPRESSION_LEVEL",
        about="zstd level of metric payloads; 0 turns compression off.",
    )  # fmt: skip
