"""One pattern at work on texts, with RE2 underneath. Pure.

Texts are UTF-8 here: that is what the engine reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import re2  # pyright: ignore[reportMissingTypeStubs]

from .dialect import parse_placeholder, to_re2

max_searched = 512 << 20
"""Bytes that the searches for all matches in one text may have to look at, at most. Each is linear in the text, so very many
that look far ahead would be quadratic: past this the text ends, with a marker, after the match at hand. Texts below 20 kB never
come here, one of 256 KiB after some 2,000 matches at least."""


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
    """Raises ValueError, which does not quote the pattern, when there is no such pattern.

    `cut_marker` is what a text ends with after which too much would have had to be searched.
    """

    def __init__(self, pattern: str, placeholder: str = "", *, cut_marker: bytes = b"...") -> None:
        self._cut_marker = cut_marker
        self._pattern = _compile(pattern, captures=True)
        self._parts = parse_placeholder(placeholder, self._pattern.groupindex, self._pattern.groups)
        if not any(isinstance(part, int) and part > 0 for part in self._parts):
            # To find where groups lie is most of the work; nobody asks.
            self._pattern = _compile(pattern, captures=False)

    def matches(self, text: bytes) -> bool:
        return self._pattern.search(text) is not None

    def replace(self, text: str) -> str:
        """`text` itself when nothing matches."""
        raw = text.encode("utf-8", "replace")
        masked = self.mask(raw)
        return text if masked is raw else masked.decode("utf-8", "replace")

    def mask(self, text: bytes) -> bytes:
        """`text` itself when nothing matches."""
        pieces: list[bytes] = []
        last = -1
        at = searched = 0
        for match in self._pattern.finditer(text):
            start, end = match.start(), match.end()
            if start == end and (start == last or _is_within_character(text, start)):
                # Nothing between two matches is no match of its own, as in Go and Rust.
                continue
            pieces.append(text[at:start])
            pieces.extend(part if isinstance(part, bytes) else _group(text, match, part) for part in self._parts)
            at = last = end
            searched += len(text) - end
            if searched > max_searched:
                return b"".join([*pieces, self._cut_marker])
        if last < 0:
            return text
        pieces.append(text[at:])
        return b"".join(pieces)


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
