"""Names: a prefix for those of custom metrics, and those that are not wanted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Integrations and tracers whose metrics have dashboards of their own; the Agent leaves their names alone
# (statsd_metric_namespace_blacklist). Lambda's enhanced metrics are the platform's, whoever sends them.
_exempt: Final = tuple(
    f"{word}."
    for word in (
        "datadog.agent",
        "datadog.dogstatsd",
        "datadog.process",
        "datadog.trace_agent",
        "datadog.tracer",
        "activemq",
        "activemq_58",
        "airflow",
        "cassandra",
        "confluent",
        "hazelcast",
        "hive",
        "ignite",
        "jboss",
        "jvm",
        "kafka",
        "presto",
        "sidekiq",
        "solr",
        "tomcat",
        "runtime",
    )
)
_platform: Final = "aws.lambda.enhanced."


class Namespace:
    """Puts `<namespace>.` before names that begin with none of `exempt` (None: those of Datadog's own software)."""

    def __init__(self, namespace: str | None, exempt: Sequence[str] | None = None) -> None:
        self._prefix = f"{namespace}." if namespace else ""
        self._exempt = (*(_exempt if exempt is None else exempt), _platform)

    def apply(self, name: str) -> str:
        if not self._prefix or name.startswith(self._exempt):
            return name
        return self._prefix + name


class NameFilter:
    """Names of metrics that are not wanted, or what they begin with."""

    def __init__(self, names: Sequence[str] = (), *, matches_prefix: bool = False) -> None:
        self._names = frozenset(names)
        self._prefixes = tuple(name for name in names if name) if matches_prefix else ()

    def blocks(self, name: str) -> bool:
        """Asked with the whole name, namespace included, as the Agent does."""
        return name in self._names or (bool(self._prefixes) and name.startswith(self._prefixes))
