"""One pattern at work on texts, with RE2 underneath. Pure.

Texts are UTF-8 here: that is what the engine reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import re2  # pyright: ignore[reportMissingTypeStubs]

from .dialect import parse_placeholder, to_re2

max_seconds: Final = 2.0
"""CPU time for all matches in one text. Each search is linear in the text, so very many that look far ahead are quadratic:
past this the text ends after the match at hand. A match that is found near by takes some 4 µs, so that a text of 256 KiB in
which every byte is one is masked to its end."""

_looks_every: Final = 64 << 20
"""The clock is looked at whenever searches may have read so many bytes: they take 0.2 s at most, and texts below 11 kB never
come here."""


class _Match(Protocol):
    def start(self) -> int: ...
    def end(self) -> int: ...
    def span(self, group: int) -> tuple[int, int]: ...


class _Pattern(Protocol):
    @property
    def groups(self) -> int: ...
    @property
    def groupindex(self) -> dict[str, int]: ...
    def search(self, text: bytes) -> _Match | None: ...
    def finditer(self, text: bytes) -> Iterator[_Match]: ...


class Matcher:
    """Raises ValueError, which does not quote the pattern, when there is no such pattern."""

    def __init__(
        self, pattern: str, placeholder: str = "", *, cpu_time: Callable[[], float] = time.thread_time
    ) -> None:
        self._cpu_time = cpu_time
        self._pattern = _compile(pattern, captures=True)
        self._parts = parse_placeholder(placeholder, self._pattern.groupindex, self._pattern.groups)
        if not any(isinstance(part, int) and part > 0 for part in self._parts):
            # To find where groups lie is most of the work; nobody asks.
            self._pattern = _compile(pattern, captures=False)

    def matches(self, text: bytes) -> bool:
        return self._pattern.search(text) is not None

    def replace(self, text: str) -> str:
        """`text` itself when nothing matches. What cannot be searched in time is left out: `...` stands for it."""
        raw = text.encode("utf-8", "replace")
        masked, is_whole = self.mask(raw)
        if masked is raw:
            return text
        return masked.decode("utf-8", "replace") + ("" if is_whole else "...")

    def mask(self, text: bytes) -> tuple[bytes, bool]:
        """`text` itself when nothing matches; and whether it is there to its end.

        False: to search it would take too long, and it ends after the last match, as nothing may pass that is not searched.
        """
        pieces: list[bytes] = []
        last = -1
        at = searched = 0
        began: float | None = None
        for match in self._pattern.finditer(text):
            start, end = match.start(), match.end()
            if start == end and (start == last or _is_within_character(text, start)):
                # Nothing between two matches is no match of its own, as in Go and Rust.
                continue
            pieces.append(text[at:start])
            pieces.extend(part if isinstance(part, bytes) else _group(text, match, part) for part in self._parts)
            at = last = end
            searched += len(text) - end
            if searched > _looks_every:
                searched = 0
                now = self._cpu_time()
                if began is None:
                    began = now
                elif now - began > max_seconds:
                    return b"".join(pieces), False
        if last < 0:
            return text, True
        pieces.append(text[at:])
        return b"".join(pieces), True


def _group(text: bytes, match: _Match, number: int) -> bytes:
    start, end = match.span(number)
    return text[start:end] if start >= 0 else b""


def _is_within_character(text: bytes, at: int) -> bool:
    return at < len(text) and text[at] & 0xC0 == 0x80


def _compile(pattern: str, *, captures: bool) -> _Pattern:
    engine: Any = re2
    options = engine.Options()
    # It would write them to the standard error stream, patterns included.
    options.log_errors = False
    options.never_capture = not captures
    try:
        return engine.compile(to_re2(pattern), options)
    except engine.error as error:
        (reason, *_) = error.args or ("does not compile",)
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        # What follows the colon is a piece of the pattern.
        told = reason.partition(":")[0].strip()
        if told in ("invalid perl operator", "invalid escape sequence"):
            told += " (there is no look-around and no back-reference)"
        raise ValueError(f"pattern: {told}") from None
    except UnicodeEncodeError:
        raise ValueError("pattern: holds half a character") from None
