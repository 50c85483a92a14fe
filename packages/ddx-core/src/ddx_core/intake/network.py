"""What lies between the agent and an intake: which proxy a host is reached through, and which certificates are trusted.

Rules of this file:
- Standard library only, and `ssl` at the first use: settings are read before anything is sent.
- A proxy's password is seen by whoever opens a connection and by nobody else: no repr, no text, no exception holds it.
- The real target decides about the proxy, host by host, in the way that users of curl, Go and requests expect.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    import ssl

_Address = IPv4Address | IPv6Address
_default_ports: Final = {"http": 80, "https": 443}


class Proxy:
    """One proxy. `url` is without credentials, and so are str and repr; `auth` is the user and the password, decoded."""

    __slots__ = ("auth", "host", "port", "scheme", "url")

    def __init__(self, text: str) -> None:
        """`user:password@host:port` with `http://` or `https://` before it, or nothing. Raises ValueError for what is none."""
        text = text.strip()
        scheme, separator, rest = text.partition("://")
        if not separator or not scheme.isalnum():
            scheme, rest = "http", text
        self.scheme: str = scheme.lower()
        if self.scheme not in _default_ports:
            raise ValueError("a proxy is http://host:port or https://host:port; other protocols are not supported")
        # A password may hold any character, unencoded `/`, `#` and `@` included: what follows the last `@` is the host.
        credentials, at, rest = rest.rpartition("@")
        for end in "/?#":
            rest = rest.partition(end)[0]
        host, port = _split_port(rest)
        self.host: str = _checked_host(host)
        self.port: int = _default_ports[self.scheme] if port is None else port
        user, _, password = credentials.partition(":")
        self.auth: tuple[str, str] | None = (unquote(user), unquote(password)) if at and credentials else None
        self.url: str = f"{self.scheme}://{self.address}"

    @property
    def address(self) -> str:
        """host:port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def _with_credentials(self) -> str:
        if self.auth is None:
            return self.url
        user, password = (quote(part, safe="") for part in self.auth)
        return f"{self.scheme}://{user}:{password}@{self.address}"

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})" if self.auth is None else f"Proxy('{self.scheme}://***@{self.address}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._with_credentials == other._with_credentials

    def __hash__(self) -> int:
        return hash(self._with_credentials)


class ProxyRules:
    """Which proxy stands before which host. Raises ValueError for a proxy that is none.

    `no_proxy` entries are host names (which stand for their subdomains as well, with or without a leading dot or `*.`),
    addresses, networks (`10.0.0.0/8`), each with `:port` or without, and `*`. This machine is never reached by a proxy.
    """

    __slots__ = ("_exceptions", "http", "https", "no_proxy")

    def __init__(
        self, https: str | None = None, http: str | None = None, no_proxy: tuple[str, ...] | list[str] = ()
    ) -> None:
        self.https: Proxy | None = _proxy(https, "https")
        self.http: Proxy | None = _proxy(http, "http")
        self.no_proxy: tuple[str, ...] = tuple(entry.strip().lower() for entry in no_proxy if entry.strip())
        self._exceptions = tuple(_Exception(entry) for entry in self.no_proxy)

    def proxy_for(self, base_url: str) -> Proxy | None:
        """The proxy for this target; None when it is reached directly, or is no http or https URL."""
        try:
            parts = urlsplit(base_url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            return None
        proxy = self.https if scheme == "https" else self.http if scheme == "http" else None
        if proxy is None or not host:
            return None
        host = host.rstrip(".")
        address = _address(host)
        if _is_this_machine(host, address):
            return None
        port = port or _default_ports[scheme]
        return None if any(exception.covers(host, address, port) for exception in self._exceptions) else proxy

    def __repr__(self) -> str:
        return f"ProxyRules(https={self.https!r}, http={self.http!r}, no_proxy={self.no_proxy!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProxyRules) and (
            (self.https, self.http, self.no_proxy) == (other.https, other.http, other.no_proxy)
        )

    def __hash__(self) -> int:
        return hash((self.https, self.http, self.no_proxy))


def parse_no_proxy(text: str) -> tuple[str, ...]:
    """The entries of a list with commas, white space or both between them, in lower case."""
    return tuple(text.replace(",", " ").lower().split())


class _Exception:
    """One entry of no_proxy."""

    __slots__ = ("_address", "_domain", "_everything", "_network", "_port")

    def __init__(self, entry: str) -> None:
        self._everything = entry == "*"
        self._port: int | None = None
        self._network: IPv4Network | IPv6Network | None = None
        self._address: _Address | None = None
        self._domain = ""
        if "/" in entry:
            try:
                self._network = ip_network(entry.replace("[", "").replace("]", ""), strict=False)
            except ValueError:
                return  # a URL or a typing error: it covers nothing
        else:
            try:
                host, self._port = _split_port(entry)
            except ValueError:
                return
            self._address = _address(host)
            self._domain = host.removeprefix("*").strip(".") if self._address is None else ""

    def covers(self, host: str, address: _Address | None, port: int) -> bool:
        if self._everything:
            return True
        if self._port is not None and self._port != port:
            return False
        if address is not None:
            return address == self._address or (self._network is not None and address in self._network)
        return bool(self._domain) and (host == self._domain or host.endswith("." + self._domain))


class TlsPolicy:
    """Whom a TLS connection trusts. Raises ValueError for an unknown version.

    `cert_file`: a PEM file whose certificates are trusted in addition to the system's. `verify` False: anything is.
    """

    __slots__ = ("cert_file", "min_version", "verify")

    def __init__(self, cert_file: str | None = None, verify: bool = True, min_version: str = "tlsv1.2") -> None:
        self.cert_file = cert_file or None
        self.verify = verify
        self.min_version = min_version.strip().lower()
        if self.min_version not in ("tlsv1.2", "tlsv1.3"):
            raise ValueError(f"{min_version!r}: expected tlsv1.2 or tlsv1.3")

    def without_cert_file(self) -> TlsPolicy:
        """What to go on with when the file cannot be used."""
        return TlsPolicy(None, self.verify, self.min_version)

    def make_context(self) -> ssl.SSLContext:
        """Reads certificates: some 20 ms. Raises OSError or ValueError, with the file's name, when the file is of no use."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        versions = ssl.TLSVersion
        context.minimum_version = versions.TLSv1_3 if self.min_version == "tlsv1.3" else versions.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        context.load_default_certs()
        if not context.cert_store_stats()["x509_ca"] and not _has_hashed_certificates():
            # A slim image may have no certificates at all. This package comes with httpx.
            from importlib import import_module

            context.load_verify_locations(import_module("certifi").where())
        if self.cert_file is not None:
            _add_certificates(context, self.cert_file)
        return context

    def __repr__(self) -> str:
        return f"TlsPolicy(cert_file={self.cert_file!r}, verify={self.verify}, min_version={self.min_version!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TlsPolicy) and (
            (self.cert_file, self.verify, self.min_version) == (other.cert_file, other.verify, other.min_version)
        )

    def __hash__(self) -> int:
        return hash((self.cert_file, self.verify, self.min_version))


def _add_certificates(context: ssl.SSLContext, path: str) -> None:
    import ssl

    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        reason = (error.reason or "unreadable").lower().replace("_", " ")
        raise ValueError(f"{path}: not a PEM file with certificates ({reason})") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    # The file names whom to trust, be it a root, an authority beneath one, or the server's own certificate.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _has_hashed_certificates() -> bool:
    """Whether the system keeps its certificates one a file, which OpenSSL looks up by name when it needs one."""
    import os
    import ssl

    try:
        names = os.listdir(ssl.get_default_verify_paths().capath or "")
    except OSError:
        return False
    return any(name[8:9] == "." and name[9:].isdigit() for name in names)


def _proxy(text: str | None, kind: str) -> Proxy | None:
    if text is None or not text.strip():
        return None
    try:
        return Proxy(text)
    except ValueError as error:
        raise ValueError(f"the proxy for {kind}: {error}") from None


def _split_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `::1`, `[::1]` or `[::1]:port`. Raises ValueError, whose text quotes nothing."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")) or not isinstance(_address(host), IPv6Address):
            raise ValueError("the address in brackets is not valid")
        port = port[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("the port is not a number from 1 to 65535")
    return host, int(port)


def _checked_host(host: str) -> str:
    host = host.lower()
    if isinstance(_address(host), IPv6Address):
        return host
    if not host or not host.isascii() or not all(char.isalnum() or char in "-._" for char in host):
        raise ValueError("the host is missing or not valid")
    return host


def _address(host: str) -> _Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_this_machine(host: str, address: _Address | None) -> bool:
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")
