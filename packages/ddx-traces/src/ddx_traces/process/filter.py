"""Spans that tell of the agent's own surroundings instead of the user's program, and are always dropped. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..span import Span

# Resource of the span by which tracers of compiled languages hand facts to the extension; it is no operation.
placeholder_resource: Final = "dd-tracer-serverless-span"
_resources = frozenset({placeholder_resource, "127.0.0.1", "0.0.0.0"})  # noqa: S104 (names to compare with, not to bind)
# The last one is where a Lambda sandbox finds the X-Ray daemon.
_addresses = ("0.0.0.0", "127.0.0.1", "169.254.79.129")  # noqa: S104
# What may follow a port in a URL (RFC 3986, 3.2): more digits are another port, more letters another host.
_after_authority: Final = frozenset(("", "/", "?", "#"))


class OwnCalls:
    """Knows calls to the platform's runtime API and to the agent's own ports.

    `own_urls` are their URLs without a path: `http://127.0.0.1:9001`.
    """

    def __init__(self, own_urls: Sequence[str]) -> None:
        self._own_urls = tuple(own_urls)

    def includes(self, span: Span) -> bool:
        if span.resource in _resources or span.name == "dns.lookup":
            return True
        meta = span.meta
        url = meta.get("http.url")
        if url is not None and url.startswith(self._own_urls) and self._is_own(url):
            return True
        host = meta.get("tcp.remote.host")
        if host is not None and "tcp.remote.port" in meta:
            if ":" in host:
                host = f"[{host}]"
            if f"http://{host}:{meta['tcp.remote.port']}" in self._own_urls:
                return True
        address = meta.get("dns.address")
        return address is not None and address.startswith(_addresses)

    def _is_own(self, url: str) -> bool:
        return any(url.startswith(own) and url[len(own) : len(own) + 1] in _after_authority for own in self._own_urls)
