"""Configuration → the settings of each signal, which know nothing of variables and files. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddx_agent.config import Config
from ddx_agent.environment import LambdaFunction
from ddx_logs.settings import LogsSettings, OwnLines
from ddx_metrics.enhanced import EnhancedSettings
from ddx_metrics.origin import lambda_function
from ddx_metrics.settings import Cardinality, LineSettings, MetricsSettings, ReceiverSettings
from ddx_traces.settings import TracesSettings

if TYPE_CHECKING:
    from ddx_agent.config.settings.metrics import Metrics


def logs_settings(config: Config, function: LambdaFunction) -> LogsSettings:
    return LogsSettings(
        enabled=config.logs.enabled,
        managed_instances=function.is_managed,
        platform_lines="platform" in config.logs.lambda_types,
        ship_own_lines=OwnLines(config.logs.own_lines),
        rules=config.logs.rules,
        durable_invocations=config.logs.durable_invocations,
        reads_more_levels=config.logs.read_levels,
        max_bytes=config.logs.buffer_bytes,
    )


def metrics_settings(config: Config) -> MetricsSettings:
    metrics = config.metrics
    return MetricsSettings(
        receiver=receiver_settings(metrics, "udp"),
        lines=LineSettings(
            namespace=metrics.namespace,
            no_namespace=metrics.no_namespace,
            blocklist=metrics.blocklist,
            blocks_prefixes=metrics.blocks_prefixes,
            takes_times=metrics.takes_times,
            sender_cardinality=Cardinality(metrics.tag_cardinality) if metrics.origin_detection_client else None,
        ),
        max_contexts=metrics.max_contexts,
        max_bytes=metrics.buffer_bytes,
        max_tag_sets=metrics.max_tag_sets,
        copies_to=metrics.copies_prefix if metrics.copies_histograms else None,
        exclude_tags=frozenset(metrics.exclude_tags),
        origin_category=lambda_function,
        histogram_aggregates=metrics.histogram_aggregates,
        histogram_percentiles=metrics.histogram_percentiles,
        series_as_json=metrics.series_format == "json",
    )


def receiver_settings(metrics: Metrics, transport: str) -> ReceiverSettings:
    return ReceiverSettings(
        max_bytes=metrics.datagram_bytes,
        round_datagrams=metrics.round_datagrams,
        needs_eol=transport in metrics.eol_required,
    )


def enhanced_settings(config: Config, function: LambdaFunction, *, is_new_sandbox: bool) -> EnhancedSettings:
    return EnhancedSettings(
        enabled=config.metrics.enhanced,
        holds_first=not function.is_managed,
        one_at_a_time=not function.is_managed,
        is_new_sandbox=is_new_sandbox,
    )


def traces_settings(
    config: Config,
    function: LambdaFunction,
    *,
    runtime_api: str,
    own_addresses: tuple[str, ...],
    receiver_port: int,
    statsd_port: int,
) -> TracesSettings:
    """The addresses and ports are those that were really bound."""
    return TracesSettings(
        function_name=function.name,
        service=config.general.service,
        env=config.general.env,
        version=config.general.version,
        runtime_api=runtime_api,
        own_addresses=own_addresses,
        computes_stats=config.traces.computes_stats,
        max_buffer_bytes=config.traces.buffer_bytes,
        max_request_bytes=config.traces.max_request_bytes,
        max_connections=config.traces.max_connections,
        tracers_may_drop=config.traces.tracers_may_drop,
        represents_services=config.traces.represents_services,
        filters=config.traces.filters,
        told_of_filters=config.traces.filters.describe(),
        obfuscation=config.traces.obfuscation,
        replace_rules=config.traces.replace_rules,
        receiver_port=receiver_port,
        receiver_socket=config.traces.receiver_socket or "",
        statsd_port=statsd_port,
    )
