"""The trace agent."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting
from ddx_traces.obfuscate import JsonBodies, ObfuscationSettings
from ddx_traces.rules import FilterSettings, ReplaceRule, TagRule

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
        "DD_APM_CONFIG_COMPRESSION_LEVEL", default=3, parser=parse.whole_number(-7, 22),
        yaml="apm_config.compression_level", general="DD_COMPRESSION_LEVEL",
        about="zstd level of trace payloads, -7 to 22; 0 turns compression off.",
    )  # fmt: skip
    computes_stats: bool = setting(
        "DD_LAMBDA_EXTENSION_COMPUTE_STATS", "DD_AGENT_STATS_COMPUTATION_ENABLED", default=False, parser=parse.boolean,
        about="Compute trace statistics here, for tracers that do not; what is not sampled is then not sent.",
    )  # fmt: skip
    represents_services: bool = setting(
        "DD_TRACE_AWS_SERVICE_REPRESENTATION_ENABLED", default=True, parser=parse.boolean,
        about="Inferred spans carry the service names of what they stand for.",
    )  # fmt: skip
    filter_require: tuple[TagRule, ...] = setting(
        "DD_APM_FILTER_TAGS_REQUIRE", default=(), parser=parse.tag_rules, yaml="apm_config.filter_tags.require",
        about="Keep only traces whose root span has all of these: `key:value` or `key`, with spaces between them.",
    )  # fmt: skip
    filter_reject: tuple[TagRule, ...] = setting(
        "DD_APM_FILTER_TAGS_REJECT", default=(), parser=parse.tag_rules, yaml="apm_config.filter_tags.reject",
        about="Drop traces whose root span has any of these.",
    )  # fmt: skip
    filter_require_regex: tuple[TagRule, ...] = setting(
        "DD_APM_FILTER_TAGS_REGEX_REQUIRE", default=(), parser=parse.tag_patterns,
        yaml="apm_config.filter_tags_regex.require", about="As `DD_APM_FILTER_TAGS_REQUIRE`, with RE2 patterns for values.",
    )  # fmt: skip
    filter_reject_regex: tuple[TagRule, ...] = setting(
        "DD_APM_FILTER_TAGS_REGEX_REJECT", default=(), parser=parse.tag_patterns,
        yaml="apm_config.filter_tags_regex.reject", about="As `DD_APM_FILTER_TAGS_REJECT`, with RE2 patterns for values.",
    )  # fmt: skip
    ignore_resources: tuple[str, ...] = setting(
        "DD_APM_IGNORE_RESOURCES", default=(), parser=parse.patterns, yaml="apm_config.ignore_resources",
        about='Drop traces in whose root\'s resource one of these RE2 patterns is found; `"in quotes"` when it has commas.',
    )  # fmt: skip
    replace_rules: tuple[ReplaceRule, ...] = setting(
        "DD_APM_REPLACE_TAGS", default=(), parser=parse.replace_rules, yaml="apm_config.replace_tags",
        about='Rewrite tags: `[{"name": "http.url", "pattern": "RE2", "repl": "$1"}]`; the name may be `resource.name`, or `*`.',
    )  # fmt: skip
    removes_query: bool = setting(
        "DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_QUERY_STRING", "DD_APM_OBFUSCATION_HTTP_REMOVE_QUERY_STRING",
        default=False, parser=parse.boolean, yaml="apm_config.obfuscation.http.remove_query_string",
        about="Hide the query in `http.url`.",
    )  # fmt: skip
    removes_path_digits: bool = setting(
        "DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS", "DD_APM_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS",
        default=False, parser=parse.boolean, yaml="apm_config.obfuscation.http.remove_paths_with_digits",
        about="Hide the segments of paths that hold digits in `http.url`.",
    )  # fmt: skip
    hides_redis: bool = setting(
        "DD_APM_OBFUSCATION_REDIS_ENABLED", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.redis.enabled", about="Hide values in `redis.raw_command`.",
    )  # fmt: skip
    removes_redis_arguments: bool = setting(
        "DD_APM_OBFUSCATION_REDIS_REMOVE_ALL_ARGS", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.redis.remove_all_args",
        about="Hide all arguments there, when `DD_APM_OBFUSCATION_REDIS_ENABLED` is on.",
    )  # fmt: skip
    hides_valkey: bool = setting(
        "DD_APM_OBFUSCATION_VALKEY_ENABLED", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.valkey.enabled", about="Hide values in `valkey.raw_command`.",
    )  # fmt: skip
    removes_valkey_arguments: bool = setting(
        "DD_APM_OBFUSCATION_VALKEY_REMOVE_ALL_ARGS", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.valkey.remove_all_args",
        about="Hide all arguments there, when `DD_APM_OBFUSCATION_VALKEY_ENABLED` is on.",
    )  # fmt: skip
    hides_memcached: bool = setting(
        "DD_APM_OBFUSCATION_MEMCACHED_ENABLED", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.memcached.enabled", about="Hide `memcached.command`.",
    )  # fmt: skip
    keeps_memcached_command: bool = setting(
        "DD_APM_OBFUSCATION_MEMCACHED_KEEP_COMMAND", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.memcached.keep_command", about="Keep its first line, which has the keys.",
    )  # fmt: skip
    hides_mongodb: bool = setting(
        "DD_APM_OBFUSCATION_MONGODB_ENABLED", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.mongodb.enabled", about="Hide values in `mongodb.query`.",
    )  # fmt: skip
    mongodb_keep: tuple[str, ...] = setting(
        "DD_APM_OBFUSCATION_MONGODB_KEEP_VALUES", default=(), parser=parse.word_list,
        yaml="apm_config.obfuscation.mongodb.keep_values", about="Keys there whose values stay.",
    )  # fmt: skip
    mongodb_sql: tuple[str, ...] = setting(
        "DD_APM_OBFUSCATION_MONGODB_OBFUSCATE_SQL_VALUES", default=(), parser=parse.word_list,
        yaml="apm_config.obfuscation.mongodb.obfuscate_sql_values",
        about="Keys there whose texts are SQL, of which only literals are hidden.",
    )  # fmt: skip
    hides_elasticsearch: bool = setting(
        "DD_APM_OBFUSCATION_ELASTICSEARCH_ENABLED", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.elasticsearch.enabled", about="Hide values in `elasticsearch.body`.",
    )  # fmt: skip
    elasticsearch_keep: tuple[str, ...] = setting(
        "DD_APM_OBFUSCATION_ELASTICSEARCH_KEEP_VALUES", default=(), parser=parse.word_list,
        yaml="apm_config.obfuscation.elasticsearch.keep_values", about="Keys there whose values stay.",
    )  # fmt: skip
    elasticsearch_sql: tuple[str, ...] = setting(
        "DD_APM_OBFUSCATION_ELASTICSEARCH_OBFUSCATE_SQL_VALUES", default=(), parser=parse.word_list,
        yaml="apm_config.obfuscation.elasticsearch.obfuscate_sql_values",
        about="Keys there whose texts are SQL, of which only literals are hidden.",
    )  # fmt: skip
    hides_opensearch: bool = setting(
        "DD_APM_OBFUSCATION_OPENSEARCH_ENABLED", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.opensearch.enabled", about="Hide values in `opensearch.body`.",
    )  # fmt: skip
    opensearch_keep: tuple[str, ...] = setting(
        "DD_APM_OBFUSCATION_OPENSEARCH_KEEP_VALUES", default=(), parser=parse.word_list,
        yaml="apm_config.obfuscation.opensearch.keep_values", about="Keys there whose values stay.",
    )  # fmt: skip
    opensearch_sql: tuple[str, ...] = setting(
        "DD_APM_OBFUSCATION_OPENSEARCH_OBFUSCATE_SQL_VALUES", default=(), parser=parse.word_list,
        yaml="apm_config.obfuscation.opensearch.obfuscate_sql_values",
        about="Keys there whose texts are SQL, of which only literals are hidden.",
    )  # fmt: skip
    hides_cards: bool = setting(
        "DD_APM_OBFUSCATION_CREDIT_CARDS_ENABLED", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.credit_cards.enabled", about="Hide card numbers in all tags.",
    )  # fmt: skip
    cards_luhn: bool = setting(
        "DD_APM_OBFUSCATION_CREDIT_CARDS_LUHN", default=False, parser=parse.boolean,
        yaml="apm_config.obfuscation.credit_cards.luhn", about="Only those with a correct check digit.",
    )  # fmt: skip
    cards_keep: tuple[str, ...] = setting(
        "DD_APM_OBFUSCATION_CREDIT_CARDS_KEEP_VALUES", default=(), parser=parse.word_list,
        yaml="apm_config.obfuscation.credit_cards.keep_values", about="Tags that are not looked at for card numbers.",
    )  # fmt: skip
    buffer_bytes: int = setting(
        "DDX_TRACES_BUFFER_BYTES", default=16 * MiB, parser=parse.whole_number(65536, 1 << 31),
        about="Most bytes of encoded spans that wait to be sent; beyond it tracers are told to wait (429).",
    )  # fmt: skip

    @property
    def filters(self) -> FilterSettings:
        return FilterSettings(
            require=self.filter_require,
            reject=self.filter_reject,
            require_regex=self.filter_require_regex,
            reject_regex=self.filter_reject_regex,
            ignore_resources=self.ignore_resources,
        )

    @property
    def obfuscation(self) -> ObfuscationSettings:
        return ObfuscationSettings(
            removes_query=self.removes_query,
            removes_path_digits=self.removes_path_digits,
            redis=self.hides_redis,
            redis_removes_arguments=self.removes_redis_arguments,
            valkey=self.hides_valkey,
            valkey_removes_arguments=self.removes_valkey_arguments,
            memcached=self.hides_memcached,
            memcached_keeps_command=self.keeps_memcached_command,
            mongodb=JsonBodies(enabled=self.hides_mongodb, keep=self.mongodb_keep, sql=self.mongodb_sql),
            elasticsearch=JsonBodies(
                enabled=self.hides_elasticsearch, keep=self.elasticsearch_keep, sql=self.elasticsearch_sql
            ),
            opensearch=JsonBodies(enabled=self.hides_opensearch, keep=self.opensearch_keep, sql=self.opensearch_sql),
            cards=self.hides_cards,
            cards_luhn=self.cards_luhn,
            cards_keep=self.cards_keep,
        )
