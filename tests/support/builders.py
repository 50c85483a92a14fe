"""Small makers of values that many tests need, each with defaults that a test overrides where it matters."""

from __future__ import annotations

from ddx_core.intake import ApiKey, ApiKeySource, Endpoint, EndpointQueue, Payload, StaticKey
from ddx_core.stats import Account


def a_payload(
    body: bytes = b"[1,2,3]", *, items: int = 1, path: str = "/api/v2/logs", encoding: str | None = None
) -> Payload:
    return Payload(path=path, content_type="application/json", body=body, items=items, encoding=encoding)


def an_endpoint(base_url: str, *, name: str = "main", key: ApiKeySource | None = None) -> Endpoint:
    return Endpoint(name=name, base_url=base_url, key=key or StaticKey("test-key"))


def taken_from(queue: EndpointQueue) -> list[Payload]:
    """What waited there, which is now nobody's."""
    return [each.payload for each in queue.take_spoolable("any")]


class KeyRing:
    """A key source which answers `get` with its current key and moves to the next one when that is refused."""

    def __init__(self, *keys: str | None) -> None:
        self._keys = list(keys)
        self.refused_keys: list[str] = []

    async def get(self) -> ApiKey | None:
        current = self._keys[0]
        return ApiKey(current) if current is not None else None

    async def refused(self, key: ApiKey) -> bool:
        self.refused_keys.append(key.value)
        if len(self._keys) > 1 and self._keys[0] == key.value:
            del self._keys[0]
            return True
        return False

    def add(self, key: str) -> None:
        """The first real key, or a later one, has come."""
        self._keys = [key]


def assert_closes(*accounts: Account) -> None:
    """accepted = delivered + held + dropped, for each of them."""
    for account in accounts:
        snapshot = account.snapshot()
        assert snapshot.closes, snapshot
