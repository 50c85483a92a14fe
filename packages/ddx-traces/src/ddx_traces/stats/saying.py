"""What a span says of itself that counts in its statistics, word for word: the cheap half of finding its group. Pure.

Tracers make spans of a kind alike, with the same keys in the same order. So what counts among these keys is found once, and
from then on reading it is one call. What it means is `counting.read_key`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final

longest_keys: Final = 2000
"""Characters of the keys of one span beyond which they are not remembered."""
max_readers: Final = 1024

Read = Callable[[Mapping[str, str]], tuple[str, ...]]
"""The values that count, of a meta with the keys that this was made for."""
Saying = tuple[Read, tuple[str, ...], *tuple[object, ...]]
"""What read it, what it read, and what else the span says: two spans with equal ones are of one group."""


class Readers(dict[tuple[str, ...], Read]):
    """By the keys of a span's meta, in their order: what reads those values that count. Forgets all when it is full.

    `counting` are the keys that count.
    """

    def __init__(self, counting: frozenset[str]) -> None:
        self._counting = counting

    def __missing__(self, keys: tuple[str, ...]) -> Read:
        found = [key for key in keys if key in self._counting]
        match found:
            case []:
                read = _nothing
            case [key]:
                read = _one(key)
            case _:
                read = itemgetter(*found)
        if sum(map(len, keys)) <= longest_keys:
            if len(self) >= max_readers:
                self.clear()
            self[keys] = read
        return read


def _nothing(meta: Mapping[str, str]) -> tuple[str, ...]:
    return ()


def _one(key: str) -> Read:
    return lambda meta: (meta[key],)
