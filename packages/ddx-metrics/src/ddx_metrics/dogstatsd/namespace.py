"""The namespace: a prefix for the names of custom metrics. Pure."""

from __future__ import annotations

import re
from typing import Final

_accepted: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")

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
        "aws.lambda.enhanced",
    )
)


def valid_namespace(text: str) -> str | None:
    """The namespace without blanks around it; None when it is empty or no beginning of a metric's name."""
    text = text.strip()
    return text if _accepted.fullmatch(text) else None


class Namespace:
    """Puts `<namespace>.` before names that are not exempt."""

    def __init__(self, namespace: str | None) -> None:
        self._prefix = f"{namespace}." if namespace else ""

    def apply(self, name: str) -> str:
        if not self._prefix or name.startswith(_exempt):
            return name
        return self._prefix + name
