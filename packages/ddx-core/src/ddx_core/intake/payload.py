"""What an encoder hands over and where it may go. Pure."""

from __future__ import annotations

from typing import Protocol

import msgspec


class ApiKey:
    """A secret. Its text is shown by `value` alone, never by repr, str or formatting."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKey) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class ApiKeySource(Protocol):
    """Where an endpoint's key comes from. Asked before every attempt, so that a renewed key reaches every signal."""

    async def get(self) -> ApiKey | None:
        """The key, or None while there is none (data then waits). Must not take long: resolving goes on elsewhere."""
        ...

    async def refused(self, key: ApiKey) -> bool:
        """An intake answered 401 or 403 to this key. True: there is another one now, try again."""
        ...


class StaticKey:
    """A key that never changes."""

    def __init__(self, value: str | None) -> None:
        self._key = ApiKey(value) if value else None

    async def get(self) -> ApiKey | None:
        return self._key

    async def refused(self, key: ApiKey) -> bool:
        return False


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One intake. `base_url` has no trailing slash, since a payload's path is appended to it.

    `name` appears in logs and on the status page. The first endpoint of a signal is its primary. `path` stands in place of
    the payloads' own; `omits` names headers of payloads (in lower case) that it is not sent, `adds` are headers of its own,
    which may hold secrets. What an endpoint that is not `is_reliable` does not take at once is dropped and counted.
    """

    name: str
    base_url: str
    key: ApiKeySource
    path: str | None = None
    omits: tuple[str, ...] = ()
    adds: tuple[tuple[str, str], ...] = ()
    is_reliable: bool = True

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, {self.base_url!r})"

    def url(self, payload: Payload) -> str:
        return self.base_url + (payload.path if self.path is None else self.path)

    def headers(self, payload: Payload) -> tuple[tuple[str, str], ...]:
        if not self.omits:
            return (*payload.headers, *self.adds) if self.adds else payload.headers
        return (*(header for header in payload.headers if header[0].lower() not in self.omits), *self.adds)


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """One request body, encoded and compressed once for all endpoints.

    `items` is the number of the account's items in it. `headers` are sent as they are besides Content-Type,
    Content-Encoding and DD-API-KEY (`user-agent` in place of the client's own); they must not hold secrets, since a payload
    may be written to the spool.
    """

    path: str
    content_type: str
    body: bytes
    items: int
    encoding: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        return len(self.body)
