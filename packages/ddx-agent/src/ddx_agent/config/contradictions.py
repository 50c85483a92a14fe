"""Settings that are fine one by one and make no sense together."""

from __future__ import annotations

from collections.abc import Iterator

from .complaint import Complaint
from .schema import Config


def contradictions(config: Config) -> Iterator[Complaint]:
    """What to tell the user, with what is done."""
    general, intakes, network = config.general, config.intakes, config.network
    dedicated = {"env": general.env, "service": general.service, "version": general.version}
    for key, value in general.all_tags:
        own = dedicated.get(key)
        if own and own != value:
            yield Complaint("DD_TAGS", f"its tag `{key}` differs from DD_{key.upper()}", f"DD_{key.upper()} is used")
    if intakes.lacks_worker and config.logs.enabled:
        yield Complaint(
            "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL",
            "the worker is enabled and has no usable URL",
            "no logs are shipped, so that none goes around the worker",
            is_severe=True,
        )
    if network.skip_ssl_validation and network.tls_cert_file:
        yield Complaint("DD_TLS_CERT_FILE", "DD_SKIP_SSL_VALIDATION is on", "any certificate is accepted")
