"""How far one gets on the way to a URL: name, connection, proxy, TLS, answer; each timed and bounded.

The bytes are written by hand, because a client that does all at once cannot say which part took how long or failed. Rules:
- Every step has the same limit; the first that fails ends the way, and all before it stay told.
- A proxy's password goes to the proxy and nowhere else: no field of `Reach` has it.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import trio

from ddx_core.clock import WallClock, now_ns, ns_per_s
from ddx_core.intake import Proxy

T = TypeVar("T")

most_head_bytes = 65_536
most_addresses = 4
_default_ports = {"http": 80, "https": 443}
_kept = "/%:@!$&'()*+,;=~"


class Kind(StrEnum):
    """Why a step failed, as far as it decides what to do about it."""

    ADDRESS = "address"
    """The URL itself."""
    NAME = "name"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    PROXY = "proxy"
    PROXY_CREDENTIALS = "proxy credentials"
    UNTRUSTED = "untrusted"
    TLS = "tls"
    ANSWER = "answer"


class Step(msgspec.Struct, frozen=True):
    """`name`: dns, tcp, proxy tls, proxy, tls or http."""

    name: str
    ms: float


class Failure(msgspec.Struct, frozen=True):
    step: str
    kind: Kind
    text: str


class Certificate(msgspec.Struct, frozen=True):
    """Of the server, where it was verified: without that, Python does not read it."""

    issuer: str
    expires_s: float


class Reach(msgspec.Struct):
    """`ahead_s`: how far this machine's clock is ahead of the answer's date, which counts whole seconds."""

    url: str
    proxy: str | None = None
    steps: list[Step] = msgspec.field(default_factory=list[Step])
    failure: Failure | None = None
    certificate: Certificate | None = None
    is_verified: bool = True
    status: int | None = None
    ahead_s: float | None = None


class _Failed(Exception):
    def __init__(self, kind: Kind, text: str) -> None:
        self.kind = kind
        self.text = text


class Head(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]


async def reach(
    url: str,
    *,
    proxy: Proxy | None,
    tls: ssl.SSLContext,
    timeout_s: float,
    wall_clock: WallClock = now_ns,
) -> Reach:
    """Go the way to `url` and back. Never raises; `proxy` is the one that stands before it."""
    reached = Reach(url, None if proxy is None else proxy.url)
    way = _Way(reached, proxy, tls, timeout_s, wall_clock)
    try:
        await way.go()
    except _Failed as failed:
        reached.failure = Failure(way.step, failed.kind, failed.text)
    finally:
        await way.aclose()
    return reached


class _Way:
    def __init__(
        self,
        reached: Reach,
        proxy: Proxy | None,
        tls: ssl.SSLContext,
        timeout_s: float,
        wall_clock: WallClock,
    ) -> None:
        self._reached = reached
        self._proxy = proxy
        self._tls = tls
        self._timeout_s = timeout_s
        self._wall_clock = wall_clock
        self._stream: trio.abc.Stream | None = None
        self.step = "url"

    async def go(self) -> None:
        scheme, host, port, path = _split(self._reached.url)
        proxy = self._proxy
        near = (host, port) if proxy is None else (proxy.host, proxy.port)
        addresses = await self._timed("dns", lambda: _look_up(*near))
        self._stream = await self._timed("tcp", lambda: _connect(addresses, self._timeout_s))
        authority = _authority(host, port, _default_ports[scheme])
        target, headers = path, _headers(authority)
        if proxy is not None:
            if proxy.scheme == "https":
                self._stream, _ = await self._timed("proxy tls", lambda: self._secure(proxy.host))
            if scheme == "https":
                await self._timed("proxy", lambda: self._tunnel(proxy, _authority(host, port, None)))
            else:
                target, headers = f"http://{authority}{path}", headers + _authorization(proxy)
        if scheme == "https":
            self._stream, peer = await self._timed("tls", lambda: self._secure(host))
            self._reached.certificate = _certificate(peer)
            self._reached.is_verified = bool(peer)
        head = await self._timed("http", lambda: self._exchange(f"GET {target} HTTP/1.1\r\n{headers}\r\n"))
        if head.status == 407:
            raise _Failed(Kind.PROXY_CREDENTIALS, "status 407")
        self._reached.status = head.status
        self._reached.ahead_s = _ahead_s(head.headers.get("date", ""), self._wall_clock())

    async def aclose(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)

    async def _timed(self, step: str, act: Callable[[], Awaitable[T]]) -> T:
        self.step = step
        start = trio.current_time()
        with trio.move_on_after(self._timeout_s):
            result = await act()
            self._reached.steps.append(Step(step, (trio.current_time() - start) * 1000))
            return result
        raise _Failed(Kind.TIMEOUT, f"no answer within {self._timeout_s:g} s")

    async def _secure(self, host: str) -> tuple[trio.abc.Stream, dict[str, Any]]:
        """The stream inside TLS, and the server's verified certificate (empty when nothing is verified)."""
        assert self._stream is not None
        # Kept as Any: the connection's own facts are forwarded from `ssl`, unknown to type checkers.
        stream: Any = trio.SSLStream(self._stream, self._tls, server_hostname=host, https_compatible=True)
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            cause = error.__cause__
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise _Failed(Kind.UNTRUSTED, cause.verify_message) from None
            if isinstance(cause, ssl.SSLError):
                raise _Failed(Kind.TLS, (cause.reason or "the handshake failed").lower().replace("_", " ")) from None
            raise _Failed(Kind.TLS, "the connection broke off") from None
        except (ValueError, UnicodeError):
            raise _Failed(Kind.ADDRESS, "the host's name cannot be used") from None
        return stream, stream.getpeercert() or {}

    async def _tunnel(self, proxy: Proxy, authority: str) -> None:
        request = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{_authorization(proxy)}\r\n"
        head = await self._exchange(request)
        if head.status == 407:
            raise _Failed(Kind.PROXY_CREDENTIALS, "status 407")
        if not 200 <= head.status < 300:
            raise _Failed(Kind.PROXY, f"status {head.status}")

    async def _exchange(self, request: str) -> Head:
        assert self._stream is not None
        received = b""
        try:
            await self._stream.send_all(request.encode("latin-1"))
            while b"\r\n\r\n" not in received:
                data = await self._stream.receive_some(16_384)
                if not data:
                    raise _Failed(Kind.ANSWER, "the connection was closed before an answer")
                received += data
                if len(received) > most_head_bytes:
                    raise _Failed(Kind.ANSWER, "the answer is not HTTP")
        except trio.BrokenResourceError:
            raise _Failed(Kind.ANSWER, "the connection broke off before an answer") from None
        head = parse_head(received)
        if head is None:
            raise _Failed(Kind.ANSWER, "the answer is not HTTP")
        return head


def parse_head(received: bytes) -> Head | None:
    """The status and headers (names in lower case) before the first blank line; None for what is no HTTP/1."""
    lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not re.fullmatch("[0-9]{3}", words[1]):
        return None
    fields = (line.partition(":") for line in lines[1:])
    return Head(int(words[1]), {name.strip().lower(): value.strip() for name, _, value in fields})


async def _look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        raise _Failed(Kind.NAME, f"{host}: {(error.strerror or 'unknown').lower()}") from None
    except UnicodeError:
        raise _Failed(Kind.NAME, f"{host[:80]}: no name that can be looked up") from None
    return list(found)


async def _connect(addresses: list[tuple[Any, ...]], timeout_s: float) -> trio.SocketStream:
    """To the first address that takes it; none may use up the time of those after it."""
    addresses = addresses[:most_addresses]
    problem = _Failed(Kind.CONNECT, "no address")
    for family, kind, protocol, _, address in addresses:
        connection = None
        try:
            connection = trio.socket.socket(family, kind, protocol)
            with trio.move_on_after(timeout_s / len(addresses)) as limit:
                await connection.connect(address)
            if not limit.cancelled_caught:
                return trio.SocketStream(connection)
            problem = _Failed(Kind.TIMEOUT, f"{address[0]}: no answer within {timeout_s / len(addresses):g} s")
        except OSError as error:
            problem = _Failed(Kind.CONNECT, f"{address[0]}: {_reason(error)}")
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if connection is not None:
            connection.close()
    raise problem


def _reason(error: OSError) -> str:
    # Trio's own text has the address once more.
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


def _split(url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _Failed(Kind.ADDRESS, "its port is no port number") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Failed(Kind.ADDRESS, "it is no http or https URL")
    return parts.scheme, parts.hostname, port or _default_ports[parts.scheme], quote(parts.path, safe=_kept) or "/"


def _authority(host: str, port: int, left_out: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == left_out else f"{name}:{port}"


def _headers(authority: str) -> str:
    return f"Host: {authority}\r\nUser-Agent: ddx-doctor\r\nAccept: */*\r\n"


def _authorization(proxy: Proxy) -> str:
    if proxy.auth is None:
        return ""
    return f"Proxy-Authorization: Basic {base64.b64encode(':'.join(proxy.auth).encode()).decode()}\r\n"


def _certificate(peer: dict[str, Any]) -> Certificate | None:
    if "notAfter" not in peer:
        return None
    issuer = {name: value for group in peer.get("issuer", ()) for name, value in group}
    name = issuer.get("organizationName") or issuer.get("commonName") or "unknown"
    return Certificate(name, ssl.cert_time_to_seconds(peer["notAfter"]))


def _ahead_s(date: str, now: int) -> float | None:
    try:
        return now / ns_per_s - parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
