"""Variables that are no settings of this agent: whose they are, or why they have no meaning here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .complaint import Complaint

without_effect: dict[str, str] = {
    "DD_APM_WINDOWS_PIPE_NAME": "named pipes are for Windows; use DD_APM_RECEIVER_PORT",
    "DD_DOGSTATSD_WINDOWS_PIPE_NAME": "named pipes are for Windows; use DD_DOGSTATSD_PORT",
    "DD_DOGSTATSD_ORIGIN_DETECTION": "there is one sender; use DD_DOGSTATSD_ORIGIN_DETECTION_CLIENT",
    "DD_DEBUG_WAIT_FOR_ATTACH": "a Python process is inspected without waiting for a debugger",
    "DD_EXTENSION_VERSION": "there is one implementation to choose from",
    "DD_FLUSHING_STRATEGY": "no agent reads it; use DD_SERVERLESS_FLUSH_STRATEGY",
    "DD_LOCAL_TEST": "`ddx local` runs a function without AWS",
    "DD_LOGS_CONFIG_FORCE_USE_HTTP": "logs always go over HTTP",
    "DD_LOGS_CONFIG_USE_HTTP": "logs always go over HTTP",
    "DD_LOGS_CONFIG_LOGS_NO_SSL": "write the scheme into DD_LOGS_CONFIG_LOGS_DD_URL: http://host:port",
    "DD_OTLP_CONFIG_METRICS_DELTA_TTL": "no vendor's serverless agent uses it",
    "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_TRANSPORT": "gRPC is served over TCP",
    "DD_APM_ENV": "use DD_ENV, which stands in where a tracer names no environment",
    "DD_SPAN_DEDUP_TIMEOUT": "repeated spans are recognised at once, there is nothing to wait for",
    "DD_SERVERLESS_COMPAT_VERSION": "it names a version of the vendor's agent for other clouds",
}
"""Why a documented variable does nothing here, and what to use."""

not_yet: dict[str, str] = {
    name: what
    for what, names in {
        "OTLP is not received yet": (
            "DD_APM_FEATURES", "DD_OTLP_CONFIG_IGNORE_MISSING_DATADOG_FIELDS", "DD_OTLP_CONFIG_LOGS_ENABLED",
            "DD_OTLP_CONFIG_METRICS_ENABLED",
            "DD_OTLP_CONFIG_METRICS_HISTOGRAMS_MODE", "DD_OTLP_CONFIG_METRICS_HISTOGRAMS_SEND_AGGREGATION_METRICS",
            "DD_OTLP_CONFIG_METRICS_HISTOGRAMS_SEND_COUNT_SUM_METRICS",
            "DD_OTLP_CONFIG_METRICS_INSTRUMENTATION_SCOPE_METADATA_AS_TAGS",
            "DD_OTLP_CONFIG_METRICS_RESOURCE_ATTRIBUTES_AS_TAGS", "DD_OTLP_CONFIG_METRICS_SUMMARIES_MODE",
            "DD_OTLP_CONFIG_METRICS_SUMS_CUMULATIVE_MONOTONIC_MODE",
            "DD_OTLP_CONFIG_METRICS_SUMS_INITIAL_CUMULATIV_MONOTONIC_VALUE",
            "DD_OTLP_CONFIG_METRICS_SUMS_INITIAL_CUMULATIVE_MONOTONIC_VALUE", "DD_OTLP_CONFIG_METRICS_TAG_CARDINALITY",
            "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_MAX_RECV_MSG_SIZE_MIB",
            "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT", "DD_OTLP_CONFIG_TRACES_ENABLED",
            "DD_OTLP_CONFIG_TRACES_PROBABILISTIC_SAMPLER_SAMPLING_PERCENTAGE",
            "DD_OTLP_CONFIG_TRACES_SPAN_NAME_AS_RESOURCE_NAME", "DD_OTLP_CONFIG_TRACES_SPAN_NAME_REMAPPINGS",
        ),
        "App and API Protection is not there yet": (
            "DD_SERVERLESS_APPSEC_ENABLED", "DD_APPSEC_RULES", "DD_APPSEC_WAF_TIMEOUT", "DD_API_SECURITY_ENABLED",
            "DD_API_SECURITY_SAMPLE_DELAY",
        ),
        "the agent makes no invocation spans yet": (
            "DD_CAPTURE_LAMBDA_PAYLOAD", "DD_CAPTURE_LAMBDA_PAYLOAD_MAX_DEPTH", "DD_EXPERIMENTAL_ENABLE_PROXY",
            "DD_SERVICE_MAPPING", "DD_TRACE_MANAGED_SERVICES",
            "DD_TRACE_PROPAGATION_EXTRACT_FIRST", "DD_TRACE_PROPAGATION_HTTP_BAGGAGE_ENABLED",
        ),
        "containers are not served yet": (
            "DD_AZURE_RESOURCE_GROUP", "DD_ENHANCED_METRICS_ENABLED", "DD_LOGS_PORT", "DD_SERVERLESS_LOG_PATH", "DD_SOURCE",
        ),
    }.items()
    for name in names
}  # fmt: skip
"""Variables of the vendor's extension whose feature is still to come."""

read_by_libraries = frozenset({
    "DD_CIVISIBILITY_ENABLED", "DD_COLD_START_TRACING", "DD_INSTRUMENTATION_TELEMETRY_ENABLED", "DD_LOGS_INJECTION",
    "DD_PROFILING_ENABLED", "DD_TRACE_ENABLED", "DD_TRACE_OTEL_ENABLED", "DD_TRACE_PROPAGATION_STYLE",
    "DD_TRACE_PROPAGATION_STYLE_EXTRACT", "DD_TRACE_SAMPLE_RATE", "DD_TRACE_STARTUP_LOGS",
    "DD_TRACE_STATS_COMPUTATION_ENABLED", "DD_TRACE_TELEMETRY_ENABLED", "DD_APPSEC_ENABLED", "DD_APM_TRACING_ENABLED",
    "DD_LAMBDA_HANDLER", "DD_MERGE_XRAY_TRACES", "DD_FLUSH_TO_LOG", "DD_TRACE_AGENT_URL", "DD_TRACE_AGENT_PORT",
    "DD_AGENT_HOST", "DD_DOGSTATSD_HOST", "DD_DOGSTATSD_URL", "DD_TRACE_DEBUG", "DD_REMOTE_CONFIGURATION_ENABLED",
})  # fmt: skip
"""The tracers' and the Lambda libraries' own; the agent has nothing to do with them."""

secret_suffixes = ("_SECRET_ARN", "_KMS_ENCRYPTED")


def judge_names(names: Iterable[str], known: Iterable[str]) -> Iterator[Complaint]:
    """A complaint for every name that does nothing here, or that is nobody's and close to one of ours."""
    ours = frozenset(known)
    for name in sorted(names):
        if name in ours or name in read_by_libraries:
            continue
        why = without_effect.get(name) or not_yet.get(name)
        if why is not None:
            yield Complaint(name, why, "it is ignored")
        elif name.startswith(("DD_", "DDX_")) and not _stands_for_another(name, ours):
            meant = _close_to(name, ours)
            if meant is not None:
                yield Complaint(name, f"no such setting; did you mean {meant}?", "it is ignored")


def is_known_elsewhere(complaint: Complaint) -> bool:
    """Whether one of these complaints is about what has a meaning for others, and does no harm here."""
    return complaint.problem in _reasons


_reasons = frozenset((*without_effect.values(), *not_yet.values()))

full_agent_keys = frozenset({"app_key", "dogstatsd_port", "statsd_metric_namespace_blocklist"})
"""Paths of the full Agent's datadog.yaml that look like mistyped ones of ours."""

_other_paths: dict[str, str] = {
    "apm_config.env": without_effect["DD_APM_ENV"],
    "apm_config.features": not_yet["DD_APM_FEATURES"],
    "otlp_config.traces.ignore_missing_datadog_fields": not_yet["DD_OTLP_CONFIG_IGNORE_MISSING_DATADOG_FIELDS"],
    # Libraries read the variables of these two, and nobody but the agent the file.
    "trace_propagation_style": not_yet["DD_TRACE_PROPAGATION_EXTRACT_FIRST"],
    "trace_propagation_style_extract": not_yet["DD_TRACE_PROPAGATION_EXTRACT_FIRST"],
}
"""Why paths of datadog.yaml do nothing that are not spelled like their variable."""


def judge_keys(tree: Mapping[str, Any], known: Iterable[str]) -> Iterator[Complaint]:
    """A complaint for every key of datadog.yaml that does nothing here or is close to one of ours, and for a section that is
    none.

    What is close to nothing is the full Agent's own, whose file may be used here as it is.
    """
    leaves = frozenset(known)
    sections = {path[:end] for path in leaves for end in range(len(path)) if path[end] == "."}
    ours = leaves | sections

    def judge(node: Mapping[str, Any], before: str) -> Iterator[Complaint]:
        for key, value in node.items():
            path = f"{before}{key}"
            if path in sections and isinstance(value, dict):
                yield from judge(value, f"{path}.")  # type: ignore[arg-type]
            elif path in sections and path not in leaves and not _is_blank(value):
                yield Complaint(path, "expected a section with keys and values", "it is ignored")
            elif path in ours:
                continue
            elif told := list(_without_effect(path, value)):
                yield from told
            elif path not in full_agent_keys and len(path) <= 200:
                siblings = frozenset(
                    each for each in ours if each.startswith(before) and "." not in each[len(before) :]
                )
                meant = _close_to(key, frozenset(each[len(before) :] for each in siblings))
                if meant is not None:
                    yield Complaint(path, f"no such setting; did you mean {before}{meant}?", "it is ignored")

    yield from judge(tree, "")


def _without_effect(path: str, value: Any) -> Iterator[Complaint]:
    """Of one key that is none of ours, and of all beneath it."""
    why = _other_paths.get(path)
    if why is None:
        variable = f"DD_{path.replace('.', '_').upper()}"
        why = without_effect.get(variable) or not_yet.get(variable)
    if why is not None:
        if not _is_blank(value):
            yield Complaint(path, why, "it is ignored")
    elif isinstance(value, dict):
        for key, inner in value.items():  # type: ignore[misc]
            yield from _without_effect(f"{path}.{key}", inner)


def _is_blank(value: Any) -> bool:
    return value in ("", None)


def _stands_for_another(name: str, ours: frozenset[str]) -> bool:
    return any(name.endswith(suffix) and name.removesuffix(suffix) in ours for suffix in secret_suffixes)


def _close_to(name: str, ours: frozenset[str]) -> str | None:
    # Needed by whoever mistypes a name, and by nobody else.
    from difflib import get_close_matches

    close = get_close_matches(name[:100], ours, n=1, cutoff=0.85)
    return close[0] if close else None
