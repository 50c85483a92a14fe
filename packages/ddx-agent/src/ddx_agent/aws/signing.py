"""Signature Version 4 of a POST request. Pure.

Source: AWS Identity and Access Management User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

import msgspec


class Credentials(msgspec.Struct, frozen=True):
    """`expires_s` is Unix seconds; None for what does not expire. Shown without its secrets."""

    access_key: str
    secret_key: str
    token: str = ""
    expires_s: float | None = None

    def __repr__(self) -> str:
        return "Credentials(…)"


def sign(
    credentials: Credentials, *, service: str, region: str, headers: Mapping[str, str], body: bytes, now_s: float
) -> dict[str, str]:
    """`headers` with Authorization, X-Amz-Date and, for temporary credentials, X-Amz-Security-Token added.

    Everything in `headers` is signed; Host must be among them. The request is a POST of `body` to `/`.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    signed = dict(headers) | {"X-Amz-Date": moment}
    if credentials.token:
        signed["X-Amz-Security-Token"] = credentials.token
    by_name = sorted((name.lower(), " ".join(value.split())) for name, value in signed.items())
    names = ";".join(name for name, _ in by_name)
    lines = "".join(f"{name}:{value}\n" for name, value in by_name)
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}".encode(), "sha256").hexdigest()
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed
