"""How far one attempt came, and what its failure means: pure, fed with httpcore's trace events and exceptions.

Rules of this file:
- No library is imported for its exceptions: they are known by what they say and by what lies beneath them.
- No reason holds a proxy's credentials or a request header.
- What was for certain not processed is no doubt; all else that was sent completely is.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from .network import Proxy

_refused_stream: Final = 7
"""RFC 9113, section 8.7: a stream that is reset with this code has not been processed."""
_expired, _not_yet_valid, _wrong_host, _wrong_address = 10, 9, 62, 64
"""OpenSSL's X509_V_ERR codes, for which another authority is no help."""


class Doubt:
    """How many attempts of a payload may have arrived without our knowing (`copies`), and how many of those another attempt has
    followed (`repeats`). Kept up to date while a send runs, so that a cancelled caller knows it as well."""

    __slots__ = ("copies", "repeats")

    def __init__(self, copies: int = 0) -> None:
        self.copies = copies
        self.repeats = 0

    @property
    def maybe_delivered(self) -> bool:
        return self.copies > 0


class Answer(msgspec.Struct, frozen=True):
    """The intake's word."""

    status: int
    retry_after_s: float | None


class Failure(msgspec.Struct, frozen=True):
    """No answer. `stale`: a kept connection had died meanwhile. `hopeless`: the next attempt would fail in the same way."""

    reason: str
    stale: bool = False
    hopeless: bool = False


class Progress:
    """How far one attempt came. `opened` is called when a TLS connection stands."""

    __slots__ = (
        "_asks_for_tunnel",
        "_body_begun",
        "_connected",
        "_copies_before",
        "_doubt",
        "_has_tunnel",
        "_opened",
        "_stream",
        "_stream_id",
        "_through_proxy",
        "answer",
        "body_sent",
        "half_open",
        "is_http2",
        "is_settled",
        "left_data_unread",
    )

    def __init__(self, doubt: Doubt, opened: Callable[[], None] = lambda: None) -> None:
        self._doubt = doubt
        self._copies_before = doubt.copies
        self._opened = opened
        self._asks_for_tunnel = False
        self._has_tunnel = False
        self._connected = False
        self._through_proxy = False
        self._stream: Any = None
        self._stream_id: int = 0
        self.half_open: Any = None
        """A connection whose TLS handshake has begun and not ended well: httpcore may neither close nor forget it."""
        self.is_http2 = False
        self._body_begun = False
        self.body_sent = False
        self.answer: Answer | None = None
        self.is_settled = False
        """The exchange was not cut off: its connection is back in the pool, or closed."""
        self.left_data_unread = False
        """HTTP/2: the rest of an answer fills the window that all streams share."""

    @property
    def on_kept_connection(self) -> bool:
        return not self._connected

    def take_doubt_back(self) -> None:
        """This attempt has delivered nothing, for certain."""
        self._doubt.copies = self._copies_before

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        layer, _, step = event.partition(".")
        match step:
            case "connect_tcp.started":
                self._begin_anew()
                self._connected = True
            case "connect_tcp.complete":
                self._stream = info["return_value"]
            case "start_tls.started":
                self.half_open = self._stream
                self._has_tunnel = layer == "proxy"
            case "start_tls.complete":
                self.half_open = None
                self._opened()
            case "send_request_headers.started":
                # Asking a proxy for a tunnel is an exchange of its own, which delivers nothing.
                self._asks_for_tunnel = info["request"].method == b"CONNECT"
                if not self._asks_for_tunnel:
                    self._begin_anew()
                    self.is_http2 = layer == "http2"
                    self._stream_id = info.get("stream_id", 0)
            case "send_request_body.started" if not self._asks_for_tunnel:
                self._body_begun = True
                self._doubt.copies = self._copies_before + 1
            case "send_request_body.complete" if not self._asks_for_tunnel:
                self.body_sent = True
            case "receive_response_headers.failed" if type(info["exception"]).__name__ == "ConnectionNotAvailable":
                self._begin_anew()
            case "receive_response_body.failed" if layer == "http2":
                self.left_data_unread = True
            case _:
                pass

    def _begin_anew(self) -> None:
        """Once more within one attempt: httpcore does that for a request which the peer has not processed."""
        self._body_begun = self.body_sent = False
        self.take_doubt_back()

    def failed(self, error: BaseException, *, host: str, proxy: Proxy | None, was_opened: bool) -> Failure:
        """The request ended with this error of the network or the peer. Settles the doubt.

        `was_opened`: a connection was opened since the attempt began, perhaps by another one that shares it.
        """
        self.is_settled = True
        origin = error.__cause__.args[0] if error.__cause__ is not None and error.__cause__.args else None
        # GOAWAY names the last stream that may have been processed.
        last_stream = getattr(origin, "last_stream_id", None)
        is_untouched = getattr(origin, "error_code", None) == _refused_stream or (
            isinstance(last_stream, int) and last_stream < self._stream_id
        )
        if not self.body_sent or is_untouched:
            self.take_doubt_back()  # an incomplete body cannot have been accepted
        reason, hopeless = self._explain(error, origin, host, proxy)
        ended_one_stream = hasattr(origin, "error_code") and last_stream is None
        stale = self.on_kept_connection and not ended_one_stream and not (self.is_http2 and was_opened)
        return Failure(reason, stale=stale, hopeless=hopeless)

    def waiting_for(self, proxy: Proxy | None) -> str:
        """Whom a request that ran out of time has waited for, as the end of a sentence."""
        if proxy is None or self._body_begun:
            return ""
        return f" from the proxy {proxy.address}" if not self._has_tunnel else f" through the proxy {proxy.address}"

    def _explain(self, error: BaseException, origin: object, host: str, proxy: Proxy | None) -> tuple[str, bool]:
        if proxy is not None and type(error).__name__ == "ProxyError":
            return _explain_refusal(str(error), proxy)
        at_proxy = proxy is not None and self._connected and not self._has_tunnel and not self._body_begun
        peer = proxy.address if proxy is not None and at_proxy else host
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return _explain_certificate(cause, peer), True
            if isinstance(cause, ssl.SSLError) and self.half_open is not None:
                return _explain_handshake(cause, peer), False
        text = _describe(error)
        if self.is_http2 and type(error).__name__ == "LocalProtocolError":
            # Its text may quote a header, the API key among them.
            text = "HTTP/2 ended in a way that the protocol does not allow, or a header is not valid"
        elif hasattr(origin, "last_stream_id"):
            text = "the intake has closed the connection (GOAWAY)"
        elif hasattr(origin, "error_code"):
            text = f"the intake has ended the request (HTTP/2 error {int(getattr(origin, 'error_code', 0))})"
        if at_proxy and proxy is not None:
            if self._asks_for_tunnel:
                return f"the proxy {proxy.address} gave no tunnel: {text}", False
            return f"the proxy {proxy.address} cannot be reached: {text}", False
        if proxy is not None:
            return f"{text} (through the proxy {proxy.address})", False
        return text, False


def _explain_refusal(text: str, proxy: Proxy) -> tuple[str, bool]:
    status = text[:3]
    printable = "".join(char for char in text[:80] if char.isprintable())
    advice = {
        "407": "; check the user and the password of the proxy (DD_PROXY_HTTPS)",
        "403": "; it does not allow connections to this host",
    }.get(status, "")
    return f"the proxy {proxy.address} refused: {printable}{advice}", status in ("403", "407")


def _explain_certificate(error: ssl.SSLCertVerificationError, peer: str) -> str:
    what = f"the certificate of {peer} is not accepted: {error.verify_message.rstrip('.')}"
    if error.verify_code in (_expired, _wrong_host, _wrong_address):
        return what
    if error.verify_code == _not_yet_valid:
        return f"{what}; is the clock right?"
    return f"{what}; if it comes from an authority of your own, name its PEM file in DD_TLS_CERT_FILE"


def _explain_handshake(error: ssl.SSLError, peer: str) -> str:
    reason = (error.reason or str(error)).lower().replace("_", " ")
    advice = "; see DD_MIN_TLS_VERSION" if "protocol" in reason else ""
    return f"no TLS connection with {peer}: {reason}{advice}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _describe(error: BaseException) -> str:
    """The error's name, and its text or that of what caused it: Trio's errors often have none themselves."""
    text = next((str(cause) for cause in _causes(error) if str(cause)), "")
    return f"{type(error).__name__} {text}".strip()
