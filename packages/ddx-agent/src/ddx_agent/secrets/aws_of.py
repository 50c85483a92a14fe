"""The AWS client of a configuration, made when somebody calls: preparing it costs what most functions never need."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddx_agent.aws import Aws, HttpClient, shared_proxies
from ddx_agent.config import Config
from ddx_agent.network import make_tls, proxy_rules
from ddx_core.intake import ProxyRules


class AwsOf:
    """`aws` reaches AWS, through the proxy that all programs share (HTTPS_PROXY) if there is one; `datadog` reaches the site,
    through the proxy that is set for it."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._aws: Aws | None = None
        self._datadog: HttpClient | None = None
        self._clients: list[HttpClient] = []

    @property
    def aws(self) -> Aws:
        if self._aws is None:
            self._aws = Aws(
                self._environ, self._client(lambda: shared_proxies(self._environ)), fips=self._config.api_key.fips
            )
        return self._aws

    @property
    def datadog(self) -> HttpClient:
        if self._datadog is None:
            self._datadog = self._client(lambda: proxy_rules(self._config))
        return self._datadog

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()

    def _client(self, proxies: Callable[[], ProxyRules]) -> HttpClient:
        client = HttpClient(make_tls=lambda: make_tls(self._config), proxies=proxies)
        self._clients.append(client)
        return client
