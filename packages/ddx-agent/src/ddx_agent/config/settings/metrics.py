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
    proc_enhanced: bool = setting(
        "DD_LAMBDA_PROC_ENHANCED_METRICS", default=True, parser=parse.boolean,
        about="Produce those of them that tell of network, CPU, `/tmp`, file descriptors and threads.",
    )  # fmt: skip
    series_format: str = setting(
        "DDX_SERIES_FORMAT", default="protobuf", parser=parse.one_of("protobuf", "json"),
        about="Form of counts and gauges on their way out; `json` is for debugging and for gateways that look into them.",
    )  # fmt: skip
    namespace: str | None = setting(
        "DD_STATSD_METRIC_NAMESPACE", default=None, parser=parse.namespace,
        about="Prefix for the names of DogStatsD metrics.",
    )  # fmt: skip
    no_namespace: tuple[str, ...] | None = setting(
        "DD_STATSD_METRIC_NAMESPACE_BLACKLIST", "DD_STATSD_METRIC_NAMESPACE_BLOCKLIST", default=None, parser=parse.word_list,
        yaml="statsd_metric_namespace_blacklist",
        about="What names begin with that the prefix is not put before; unset, those of Datadog's own software.",
    )  # fmt: skip
    blocklist: tuple[str, ...] = setting(
        "DD_METRIC_FILTERLIST", "DD_STATSD_METRIC_BLOCKLIST", default=(), parser=parse.word_list,
        yaml="statsd_metric_blocklist",
        about="Names of DogStatsD metrics that are not taken (prefix included).",
    )  # fmt: skip
    blocks_prefixes: bool = setting(
        "DD_METRIC_FILTERLIST_MATCH_PREFIX", "DD_STATSD_METRIC_BLOCKLIST_MATCH_PREFIX", default=False,
        parser=parse.boolean, yaml="statsd_metric_blocklist_match_prefix",
        about="Every metric is left out whose name begins with one of those.",
    )  # fmt: skip
    use_dogstatsd: bool = setting(
        "DD_USE_DOGSTATSD", default=True, parser=parse.boolean, about="Receive DogStatsD.",
    )  # fmt: skip
    socket: str | None = setting(
        "DD_DOGSTATSD_SOCKET", default=None, parser=parse.text,
        about="Path of a Unix datagram socket that DogStatsD is received on as well.",
    )  # fmt: skip
    stream_socket: str | None = setting(
        "DD_DOGSTATSD_STREAM_SOCKET", default=None, parser=parse.text,
        about="Path of a Unix stream socket for the same; each message follows its length (4 bytes, little-endian).",
    )  # fmt: skip
    receive_buffer: int | None = setting(
        "DD_DOGSTATSD_SO_RCVBUF", default=None, parser=parse.optional_number(1 << 30),
        about="Bytes of the sockets' receive buffer; unset or 0, as much as the kernel grants.",
    )  # fmt: skip
    datagram_bytes: int = setting(
        "DD_DOGSTATSD_BUFFER_SIZE", default=65_535, parser=parse.whole_number(1, 1 << 20), yaml="dogstatsd_buffer_size",
        about="Most bytes of one datagram; of a longer one the lines that are whole are taken.",
    )  # fmt: skip
    round_datagrams: int = setting(
        "DD_DOGSTATSD_QUEUE_SIZE", default=512, parser=parse.whole_number(1, 1 << 16), yaml="dogstatsd_queue_size",
        about="Datagrams that are read before others have their turn. There is no queue behind the socket, so none overflows.",
    )  # fmt: skip
    eol_required: tuple[str, ...] = setting(
        "DD_DOGSTATSD_EOL_REQUIRED", default=(), parser=parse.word_list,
        about="Transports (`udp`, `uds`) on which a last line without newline is not taken.",
    )  # fmt: skip
    takes_times: bool = setting(
        "DD_DOGSTATSD_NO_AGGREGATION_PIPELINE", default=True, parser=parse.boolean,
        about="A time that a line states decides its bucket; off, it is ignored.",
    )  # fmt: skip
    origin_detection_client: bool = setting(
        "DD_DOGSTATSD_ORIGIN_DETECTION_CLIENT", default=False, parser=parse.boolean,
        about="Make tags of the container that a line names.",
    )  # fmt: skip
    tag_cardinality: str = setting(
        "DD_DOGSTATSD_TAG_CARDINALITY", default="low", parser=parse.one_of("none", "low", "orchestrator", "high"),
        about="How much of that, unless the line says: the container's name from `low` on, its id with `high`.",
    )  # fmt: skip
    histogram_aggregates: tuple[str, ...] = setting(
        "DD_HISTOGRAM_AGGREGATES", default=("max", "median", "avg", "count"), parser=parse.aggregates,
        about="What histograms and timings are turned into: max, min, median, avg, sum, count.",
    )  # fmt: skip
    histogram_percentiles: tuple[int, ...] = setting(
        "DD_HISTOGRAM_PERCENTILES", default=(95,), parser=parse.percentiles,
        about="And their percentiles, as shares: `0.95 0.99`.",
    )  # fmt: skip
    copies_histograms: bool = setting(
        "DD_HISTOGRAM_COPY_TO_DISTRIBUTION", default=False, parser=parse.boolean,
        about="Send the values of histograms as distributions, too.",
    )  # fmt: skip
    copies_prefix: str = setting(
        "DD_HISTOGRAM_COPY_TO_DISTRIBUTION_PREFIX", default="", parser=parse.any_text,
        about="What the names of those distributions begin with.",
    )  # fmt: skip
    max_contexts: int = setting(
        "DDX_METRICS_MAX_CONTEXTS", default=10_240, parser=parse.whole_number(1, 1_000_000),
        about="Most combinations of name, type, tags and 10-second bucket that are held; beyond it new ones are dropped.",
    )  # fmt: skip
    max_tag_sets: int | None = setting(
        "DDX_METRICS_MAX_TAG_SETS", default=None, parser=parse.optional_number(1_000_000),
        about="Most of them with one name in one bucket, so that it cannot use up what others need; unset or 0, no such bound.",
    )  # fmt: skip
    buffer_bytes: int = setting(
        "DDX_METRICS_BUFFER_BYTES", default=32 << 20, parser=parse.whole_number(65_536, 1 << 31),
        about="About the memory that metrics may take before they are encoded.",
    )  # fmt: skip
    tags: tuple[tuple[str, str], ...] = setting(
        "DD_DOGSTATSD_TAGS", default=(), parser=parse.tags, about="More tags on metrics alone; `DD_TAGS` is stronger.",
    )  # fmt: skip
    exclude_tags: tuple[str, ...] = setting(
        "DD_LAMBDA_CUSTOMER_METRICS_EXCLUDE_TAGS", default=(), parser=parse.comma_list,
        about="Keys of function tags that are left off custom metrics.",
    )  # fmt: skip
    compression_level: int = setting(
        "DD_METRICS_CONFIG_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(-7, 22),
        yaml="metrics_config.compression_level", general="DD_COMPRESSION_LEVEL",
        about="zstd level of metric payloads, -7 to 22; 0 turns compression off.",
    )  # fmt: skip
