"""The credentials of the function's role: from the environment, or from the container endpoint (SnapStart, ECS), refreshed.

Source: AWS SDKs and Tools Reference Guide, "Container credential provider".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from ddx_core.clock import WallClock, ns_per_s

from .errors import AwsError
from .signing import Credentials
from .transport import HttpClient

refresh_before_s = 300.0
relative_host = "http://169.254.170.2"
credential_hosts = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""Where ECS and EKS answer, besides loopback: no proxy can reach them, nor may it see their token."""


class _Answer(msgspec.Struct, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str = ""
    expiration: str | None = None


class CredentialSource:
    """Gives credentials that are good for some minutes more."""

    def __init__(self, environ: Mapping[str, str], http: HttpClient, wall_clock: WallClock) -> None:
        self._environ = environ
        self._http = http
        self._wall_clock = wall_clock
        self._kept: Credentials | None = None

    async def get(self) -> Credentials:
        """Raises AwsError when there are none, or the endpoint does not give any."""
        environ = self._environ
        access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
        if access_key and secret_key:
            return _checked(Credentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN", "")))
        if self._kept is not None and self._is_fresh(self._kept):
            return self._kept
        try:
            self._kept = await self._fetch()
        except AwsError:
            if self._kept is None or not self._is_fresh(self._kept, margin_s=0.0):
                raise
        return self._kept

    def _is_fresh(self, credentials: Credentials, *, margin_s: float = refresh_before_s) -> bool:
        # Without an expiration nobody knows, so that each use asks again.
        now_s = self._wall_clock() / ns_per_s
        return credentials.expires_s is not None and now_s < credentials.expires_s - margin_s

    async def _fetch(self) -> Credentials:
        url = container_url(self._environ)
        if url is None:
            raise AwsError("there are no AWS credentials: AWS_ACCESS_KEY_ID is not set, nor is a container endpoint")
        headers = {"Accept": "application/json"}
        token = self._token()
        if token:
            headers["Authorization"] = token
        answer = await self._http.call("container credentials", "GET", url, headers=headers)
        if answer.status != 200:
            raise AwsError(f"container credentials: status {answer.status}", status=answer.status)
        try:
            found = msgspec.json.decode(answer.body, type=_Answer)
            expires_s = _unix_s(found.expiration) if found.expiration else None
        except (RecursionError, ValueError, OverflowError):
            raise AwsError("container credentials: the answer is not understood") from None
        if not found.access_key_id or not found.secret_access_key:
            raise AwsError("container credentials: the answer has no keys")
        return _checked(Credentials(found.access_key_id, found.secret_access_key, found.token, expires_s))

    def _token(self) -> str:
        path = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        if path:
            # Read each time: whoever wrote it renews it.
            try:
                with open(path, encoding="utf-8") as file:
                    token = file.read(65536)
            except (OSError, ValueError):
                raise AwsError("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read") from None
        return token.strip()


def container_url(environ: Mapping[str, str]) -> str | None:
    """The credentials endpoint; None when there is none. Raises AwsError for a host that must not be told a token."""
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if relative:
        return relative_host + relative if relative.startswith("/") else f"{relative_host}/{relative}"
    full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not full:
        return None
    try:
        parts = urlsplit(full)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    else:
        if parts.scheme == "https" and host:
            return full
        if parts.scheme == "http" and (host in credential_hosts or host == "localhost" or _is_loopback(host)):
            return full
    raise AwsError("AWS_CONTAINER_CREDENTIALS_FULL_URI names neither https nor an address of this machine")


def _checked(credentials: Credentials) -> Credentials:
    """Raises AwsError for what no header can carry, before any other error could quote it."""
    texts = (credentials.access_key, credentials.secret_key, credentials.token)
    if not all(text.isascii() and text.isprintable() for text in texts):
        raise AwsError("the AWS credentials have characters that no credentials have")
    return credentials


def _unix_s(text: str) -> float:
    moment = datetime.fromisoformat(text)
    # Without a zone it is UTC, whatever TZ the function has set.
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
