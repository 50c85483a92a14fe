"""What a pure function of a text gave, remembered within bounds: programs repeat their queries and URLs. Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

# What an entry costs besides its two texts.
entry_bytes: Final = 120


class Remembered(dict[str, str]):
    """`remembered[text]` is `make(text)`.

    Holds at most about `max_bytes`, in two generations: what is asked for again survives, what is not is forgotten with
    its generation. A text that takes more than a 16th of that is worked out every time.
    """

    def __init__(self, make: Callable[[str], str], *, max_bytes: int = 1 << 20) -> None:
        self._make = make
        self._max_generation = max_bytes // 2
        self._max_entry = max_bytes // 16
        self._earlier: dict[str, str] = {}
        self._bytes = 0

    def __missing__(self, text: str) -> str:
        made = self._earlier.get(text)
        if made is None:
            made = self._make(text)
            if made == text:
                made = text
        size = entry_bytes + sys.getsizeof(text) + (sys.getsizeof(made) if made is not text else 0)
        if size <= self._max_entry:
            if self._bytes + size > self._max_generation:
                self._earlier = dict(self)
                self.clear()
                self._bytes = 0
            self[text] = made
            self._bytes += size
        return made
