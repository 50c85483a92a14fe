"""What `PUT /2022-07-01/telemetry` may ask for: a body into a checked `Subscription`, or the 400 that AWS would give. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ..refusal import Refusal

SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
TYPES = ("platform", "function", "extension")
sandbox_hosts = ("sandbox.localdomain", "sandbox")
reserved_port = 9001


class Buffering(msgspec.Struct, frozen=True):
    """When a batch is sent: at whichever limit is reached first."""

    maxItems: int = 10_000
    maxBytes: int = 262_144
    timeoutMs: int = 1_000


_bounds = {"maxItems": (1_000, 10_000), "maxBytes": (262_144, 1_048_576), "timeoutMs": (25, 30_000)}


class Destination(msgspec.Struct, frozen=True):
    """`path` is `None` for TCP, which takes newline-delimited JSON and acknowledges nothing."""

    port: int
    path: str | None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    schema: str
    types: tuple[str, ...]
    destination: Destination
    buffering: Buffering

    @property
    def takes_objects(self) -> bool:
        """Whether a JSON log line may be sent as an object; the first schema knows only strings."""
        return self.schema != SCHEMAS[0]


class _DestinationBody(msgspec.Struct):
    protocol: str = ""
    URI: str = ""
    port: int = 0
    method: str = "POST"
    encoding: str = "JSON"


class _Body(msgspec.Struct):
    schemaVersion: str = ""
    types: list[str] = []
    destination: _DestinationBody | None = None
    buffering: Buffering | None = None


_decode = msgspec.json.Decoder(_Body).decode


def parse_subscription(body: bytes, *, schemas: Sequence[str] = SCHEMAS) -> Subscription | Refusal:
    try:
        wanted = _decode(body)
    except msgspec.DecodeError as error:
        return _invalid(str(error))
    if wanted.schemaVersion not in schemas:
        return _invalid(f"schemaVersion {wanted.schemaVersion!r} is not supported; known: {', '.join(schemas)}")
    if not wanted.types:
        return _invalid("types must name at least one of platform, function, extension")
    for name in wanted.types:
        if name not in TYPES:
            return _invalid(f"unknown type {name!r}")
    destination = _destination(wanted.destination)
    if isinstance(destination, Refusal):
        return destination
    buffering = wanted.buffering or Buffering()
    for field, (least, most) in _bounds.items():
        value: int = getattr(buffering, field)
        if not least <= value <= most:
            return _invalid(f"buffering.{field} must be between {least} and {most}, not {value}")
    return Subscription(
        schema=wanted.schemaVersion,
        types=tuple(dict.fromkeys(wanted.types)),
        destination=destination,
        buffering=buffering,
    )


def _destination(wanted: _DestinationBody | None) -> Destination | Refusal:
    if wanted is None:
        return _invalid("destination is missing")
    if wanted.protocol == "TCP":
        port, path = wanted.port, None
    elif wanted.protocol == "HTTP":
        if wanted.method not in ("POST", "PUT") or wanted.encoding != "JSON":
            return _invalid("destination takes method POST and encoding JSON")
        try:
            parts = urlsplit(wanted.URI)
            port = parts.port or 80
        except ValueError as error:
            return _invalid(f"destination.URI: {error}")
        if parts.scheme != "http" or parts.hostname not in sandbox_hosts:
            return _invalid(f"destination.URI must be http://{sandbox_hosts[0]}:PORT/PATH")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    else:
        return _invalid(f"destination.protocol must be HTTP or TCP, not {wanted.protocol!r}")
    if not 1 <= port <= 65535 or port == reserved_port:
        return _invalid(f"destination port {port} may not be used")
    return Destination(port, path)


def _invalid(message: str) -> Refusal:
    return Refusal(400, "ValidationError", message)
