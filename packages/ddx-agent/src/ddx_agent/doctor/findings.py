"""Finding: what the doctor has to say about one thing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


_exit_codes = {Level.OK: 0, Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}


class Finding(msgspec.Struct, frozen=True):
    """`text` is what was found, never a secret; `help` is what to do, and empty where there is nothing to be done."""

    check: str
    level: Level
    text: str
    help: str = ""


class Findings(list[Finding]):
    """The findings of one check, in the order in which they are told."""

    def __init__(self, check: str) -> None:
        super().__init__()
        self._check = check

    def ok(self, text: str) -> None:
        self.append(Finding(self._check, Level.OK, text))

    def note(self, text: str, help_: str = "") -> None:
        self.append(Finding(self._check, Level.NOTE, text, help_))

    def warning(self, text: str, help_: str) -> None:
        self.append(Finding(self._check, Level.WARNING, text, help_))

    def error(self, text: str, help_: str) -> None:
        self.append(Finding(self._check, Level.ERROR, text, help_))


def exit_code(findings: Iterable[Finding]) -> int:
    """By the worst finding: 0 fine (notes included), 1 warnings, 2 errors."""
    return max((_exit_codes[finding.level] for finding in findings), default=0)
