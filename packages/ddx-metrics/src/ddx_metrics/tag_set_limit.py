"""TagSetLimit: how many contexts of one bucket may have one name, so that no name uses up the room of others. Pure."""

from __future__ import annotations


class TagSetLimit:
    """`most` contexts of a name in each bucket; None: no such limit. Buckets are told by their beginning (Unix seconds)."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._counts: dict[tuple[int, str], int] = {}

    def admit(self, start_s: int, name: str) -> bool:
        """Whether there is room for one context more; if so it counts until `release`."""
        if self._most is None:
            return True
        count = self._counts.get((start_s, name), 0)
        if count >= self._most:
            return False
        self._counts[start_s, name] = count + 1
        return True

    def release(self, start_s: int, name: str) -> None:
        """One that was admitted is not held any more."""
        if self._most is None:
            return
        left = self._counts[start_s, name] - 1
        if left:
            self._counts[start_s, name] = left
        else:
            del self._counts[start_s, name]
