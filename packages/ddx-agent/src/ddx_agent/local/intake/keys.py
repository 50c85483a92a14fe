"""API keys as they may be kept: told apart, and never written down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from urllib.parse import parse_qsl, urlencode

from ddx_core.http import Request

_secret_name = re.compile(
    r"api[-_]?key|app(lication)?[-_]?key|token|secret|authori[sz]ation|cookie|password", re.IGNORECASE
)

hidden = "***"

_end_shown_from = 16


def api_key(request: Request) -> str | None:
    """The API key of a request: header, query, or (the oldest logs endpoint) path."""
    key = request.headers.get("dd-api-key") or dict(parse_qsl(request.query)).get("api_key")
    return (key or request.params.get("key", "")).strip() or None


def key_id(key: str) -> str:
    return blake2b(key.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def key_end(key: str) -> str | None:
    return key[-4:] if len(key) >= _end_shown_from else None


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: hidden if _secret_name.search(name) else value for name, value in headers.items()}


def public_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, hidden if _secret_name.search(name) else value) for name, value in pairs])


def public_path(request: Request) -> str:
    key = request.params.get("key")
    return request.path.removesuffix(key) + hidden if key else request.path


def bytes_without_key(body: bytes, key: str | None) -> bytes:
    """A body that repeats the request's key (older agents do) with stars in its place, the length kept."""
    if key is None or len(key) < _end_shown_from:
        return body
    secret = key.encode("utf-8", "surrogateescape")
    return body.replace(secret, b"*" * len(secret))
