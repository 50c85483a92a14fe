"""The AWS client of a configuration, made when somebody calls: preparing it costs what most functions never need."""

from __future__ import annotations

from collections.abc import Mapping

from ddx_agent.aws import Aws, HttpClient
from ddx_agent.config import Config
from ddx_agent.network import make_tls, proxy_rules
from ddx_core.intake import Proxy


class AwsOf:
    """`aws` reaches AWS, through the proxy that all programs share (HTTPS_PROXY) if there is one; `datadog` reaches the site."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._aws: Aws | None = None
        self._datadog: dict[str, HttpClient] = {}
        self._clients: list[HttpClient] = []

    @property
    def aws(self) -> Aws:
        if self._aws is None:
            self._aws = Aws(self._environ, self._client(trust_env=True), fips=self._config.api_key.fips)
        return self._aws

    def datadog(self, url: str) -> HttpClient:
        """The client for this URL of Datadog's, through the proxy that is set for it."""
        client = self._datadog.get(url)
        if client is None:
            proxy = proxy_rules(self._config).proxy_for(url)
            client = self._datadog[url] = self._client(proxy=proxy, trust_env=False)
        return client

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()

    def _client(self, *, proxy: Proxy | None = None, trust_env: bool) -> HttpClient:
        client = HttpClient(make_tls=lambda: make_tls(self._config), proxy=proxy, trust_env=trust_env)
        self._clients.append(client)
        return client
