"""The proxy that stands before AWS: the one that all programs share, and none before what gives credentials. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ddx_core.intake import ProxyRules, parse_no_proxy

from .credentials import credential_hosts


def shared_proxies(environ: Mapping[str, str]) -> ProxyRules:
    """HTTPS_PROXY and HTTP_PROXY, else ALL_PROXY; NO_PROXY; names in upper or in lower case.

    Raises ValueError for a proxy that is none.
    """

    def value(name: str) -> str:
        return (environ.get(name) or environ.get(name.lower()) or "").strip()

    everywhere = value("ALL_PROXY")
    try:
        return ProxyRules(
            https=value("HTTPS_PROXY") or everywhere,
            http=value("HTTP_PROXY") or everywhere,
            no_proxy=(*parse_no_proxy(value("NO_PROXY")), *credential_hosts),
        )
    except ValueError as error:
        raise ValueError(f"HTTPS_PROXY, HTTP_PROXY or ALL_PROXY: {error}") from None
