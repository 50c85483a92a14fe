"""What stands between the agent and its intakes: proxies, certificates, protocol."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting


class Network(Section):
    title = "Network"

    proxy_https: str | None = setting(
        "DD_PROXY_HTTPS", default=None, parser=parse.proxy, yaml="proxy.https", general="HTTPS_PROXY", is_secret=True,
        about="Proxy for `https://` intakes, `http://user:password@host:port`.",
    )  # fmt: skip
    proxy_http: str | None = setting(
        "DD_PROXY_HTTP", default=None, parser=parse.proxy, yaml="proxy.http", general="HTTP_PROXY", is_secret=True,
        about="Proxy for `http://` intakes.",
    )  # fmt: skip
    no_proxy: tuple[str, ...] = setting(
        "DD_PROXY_NO_PROXY", default=(), parser=parse.word_list, yaml="proxy.no_proxy",
        about="Hosts that are reached without a proxy: names, `.suffixes`, addresses, networks, `*`.",
    )  # fmt: skip
    shared_no_proxy: tuple[str, ...] = setting(
        "NO_PROXY", default=(), parser=parse.word_list, yaml="", about="The same for all programs; both lists count.",
    )  # fmt: skip
    tls_cert_file: str | None = setting(
        "DD_TLS_CERT_FILE", default=None, parser=parse.text,
        about="PEM file with certificates that are trusted besides the system's.",
    )  # fmt: skip
    skip_ssl_validation: bool = setting(
        "DD_SKIP_SSL_VALIDATION", default=False, parser=parse.boolean, about="Accept any certificate.",
    )  # fmt: skip
    min_tls_version: str = setting(
        "DD_MIN_TLS_VERSION", default="tlsv1.2", yaml="min_tls_version",
        parser=parse.one_of("tlsv1.2", "tlsv1.3", aliases={"tlsv1.0": "tlsv1.2", "tlsv1.1": "tlsv1.2"}),
        about="Lowest version of TLS: tlsv1.2 or tlsv1.3.",
    )  # fmt: skip
    http_protocol: str = setting(
        "DD_HTTP_PROTOCOL", default="http1", parser=parse.one_of("http1", "auto", aliases={"http2": "auto"}),
        about="`auto` offers HTTP/2 to `https://` intakes; `http1` costs less CPU.",
    )  # fmt: skip
    flush_timeout_s: float = setting(
        "DD_FLUSH_TIMEOUT", default=30.0, parser=parse.seconds(0.1, 900),
        about="Seconds that one attempt to deliver a payload may take.",
    )  # fmt: skip
