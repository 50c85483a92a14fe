"""Findings as people and programs read them. Pure.

Rule: every text passes `Redactor` and loses its control characters here, in the one place where findings become output. No
check puts a secret into a finding; what a library, a server or a file says is not in our hands.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec

from .findings import Finding, Level, exit_code

_marks = {Level.OK: "✓", Level.NOTE: "·", Level.WARNING: "!", Level.ERROR: "✗"}
# A shorter one would take apart words that have nothing to do with it; and no service gives a secret that short.
_shortest_secret = 6


class Redactor:
    """Puts `***` in the place of every secret it knows, also where it is written as in a URL."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {each for secret in secrets for each in (secret, quote(secret, safe="", errors="replace"))}
        # The longest first: one secret may be a part of another.
        self._secrets = sorted((each for each in spellings if len(each) >= _shortest_secret), key=len, reverse=True)

    def redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def clean(self, finding: Finding) -> Finding:
        texts = (_printable(self.redact(text)) for text in (finding.text, finding.help))
        return Finding(finding.check, finding.level, *texts)


def render_json(findings: Sequence[Finding], *, version: str) -> str:
    document = {"version": version, "exit_code": exit_code(findings), "findings": findings}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def render_text(findings: Sequence[Finding], *, width: int = 120) -> str:
    """Grouped by check in the order of first appearance, a mark each, with what to do beneath it; the sum at the end."""
    lines: list[str] = []
    for check in dict.fromkeys(finding.check for finding in findings):
        lines.extend(["", check] if lines else [check])
        for finding in findings:
            if finding.check == check:
                lines.extend(_wrapped(f"  {_marks[finding.level]} ", finding.text, width))
                if finding.help:
                    lines.extend(_wrapped("    → ", finding.help, width))
    return "\n".join([*lines, "", _sum(findings)]) + "\n"


def _sum(findings: Iterable[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    told = [
        f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}"
        for level in (Level.ERROR, Level.WARNING, Level.NOTE)
        if counts[level]
    ]
    if counts[Level.ERROR] or counts[Level.WARNING]:
        return ", ".join(told)
    return ", ".join(["all is well", *told])


def _wrapped(head: str, text: str, width: int) -> list[str]:
    # Commands and names are for copying: nothing is broken inside them.
    return textwrap.wrap(
        text,
        max(width, 60),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _printable(text: str) -> str:
    """A terminal would obey control characters, and an encoder refuse half a character."""
    return "".join(character if character.isprintable() else "�" for character in text)
