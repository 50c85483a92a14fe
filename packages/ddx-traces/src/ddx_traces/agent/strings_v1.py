"""The strings of a v1.0 request: each is written in full once, and stands for itself by number from then on. Pure.

Rule of this file: a string has the number that its sender gave it, so the strings of what is not read are counted too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ddx_core.errors import MalformedInput

free_strings: Final = 65_536
# As for the dictionary of v0.5: what is written once is seldom shorter than this together with what refers to it.
bytes_per_string: Final = 16
# A microsecond each; tracers write nothing that has to be skipped.
max_skipped: Final = 131_072

_lost: Final = f"more than {max_skipped} values that are of no use"


class TooManyStrings(MalformedInput):
    """What comes after these cannot be read."""


class Strings:
    """The strings of a request so far, by number. 0 is the empty one.

    Strings of what is skipped have numbers too, and looking for them is slow. So there is an end to it: once too much had to
    be skipped no number can be relied on, and nothing that comes after can be read.
    """

    __slots__ = ("_most", "_seen", "_skippable", "by_number")

    def __init__(self, size: int) -> None:
        """`size` of the request, in bytes, bounds how many there may be."""
        self._most = free_strings + size // bytes_per_string
        self._skippable = max_skipped
        self.by_number = [""]
        self._seen = {""}

    def copy(self) -> Strings:
        """The same so far, to be read on from apart from these."""
        other = Strings(0)
        other._most = self._most
        other._skippable = self._skippable
        other.by_number = self.by_number.copy()
        other._seen = self._seen.copy()
        return other

    @property
    def are_lost(self) -> bool:
        """Whether numbers cannot be relied on any more: every method that needs one raises TooManyStrings."""
        return self._skippable < 0

    def text(self, value: object) -> str:
        """The string that stands here, in full or by number; nil is the empty one. Raises MalformedInput for anything else."""
        if self._skippable < 0:
            raise TooManyStrings(_lost)
        if type(value) is int and value >= 0:
            try:
                return self.by_number[value]
            except IndexError:
                raise MalformedInput(f"string {value} of {len(self.by_number)}") from None
        if type(value) is str:
            if value not in self._seen:
                self._add(value)
            return value
        if value is None:
            return ""
        raise MalformedInput(f"a string is expected, not {type(value).__name__}")

    def skip(self, values: Iterable[str | None]) -> None:
        """Number the strings of something that is not read. Raises TooManyStrings when it was too much in all."""
        for each in values:
            self._skippable -= 1
            if self._skippable < 0:
                raise TooManyStrings(_lost)
            if each is not None and each not in self._seen:
                self._add(each)

    def count(self) -> int:
        """How many there are: what `forget` goes back to."""
        return len(self.by_number)

    def forget(self, count: int) -> None:
        """Go back to as many as there were."""
        for each in self.by_number[count:]:
            self._seen.discard(each)
        del self.by_number[count:]

    def _add(self, value: str) -> None:
        if len(self.by_number) >= self._most:
            self._skippable = -1
            raise TooManyStrings(f"more than {self._most} strings")
        self.by_number.append(value)
        self._seen.add(value)
