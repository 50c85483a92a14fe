"""The network settings as the intake client takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ddx_agent import version
from ddx_agent.config import Config
from ddx_core import log
from ddx_core.intake import ClientSettings, ProxyRules, RetryPolicy, TlsPolicy

if TYPE_CHECKING:
    import ssl


# A longer pause is kept by the queue it was asked of: a flush in the background that slept through it would hold that queue,
# and a blocking one would wait for it in vain.
retry_policy: Final = RetryPolicy(patience_s=1.0)


def client_settings(config: Config) -> ClientSettings:
    network = config.network
    return ClientSettings(
        attempt_s=network.flush_timeout_s,
        proxies=proxy_rules(config),
        http2=network.http_protocol == "auto",
        make_tls=lambda: make_tls(config),
        user_agent=f"ddx/{version}",
    )


def proxy_rules(config: Config) -> ProxyRules:
    network = config.network
    return ProxyRules(
        https=network.proxy_https, http=network.proxy_http, no_proxy=(*network.no_proxy, *network.shared_no_proxy)
    )


def tls_policy(config: Config) -> TlsPolicy:
    network = config.network
    return TlsPolicy(
        cert_file=network.tls_cert_file, verify=not network.skip_ssl_validation, min_version=network.min_tls_version
    )


def make_tls(config: Config) -> ssl.SSLContext:
    """Never fails: a certificate file that cannot be used is told, and left aside."""
    policy = tls_policy(config)
    try:
        return policy.make_context()
    except (OSError, ValueError) as error:
        log.warning(
            "setting_ignored", about="DD_TLS_CERT_FILE", problem=str(error), instead="the system's certificates"
        )
        return policy.without_cert_file().make_context()
