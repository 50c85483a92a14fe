"""The agent's own log lines, recognised when the platform hands them back as an extension's output. Pure.

Such a line is JSON whose message begins `DD_EXTENSION | LEVEL | `, or that text alone.
"""

from __future__ import annotations

from .settings import OwnLines

marker = "DD_EXTENSION | "

_search_within = 200

_shipped: dict[OwnLines, frozenset[str]] = {
    OwnLines.NONE: frozenset(),
    OwnLines.WARNINGS: frozenset({"WARN", "ERROR"}),
    OwnLines.INFO: frozenset({"WARN", "ERROR", "INFO"}),
}


def own_level(text: str) -> str | None:
    """The level of one of the agent's own lines (`WARN`, …), None for anybody else's line."""
    start = text.find(marker, 0, _search_within)
    if start < 0:
        return None
    before = text[:start].replace(" ", "")
    if before and not before.endswith('"message":"'):
        return None
    return text[start + len(marker) : start + len(marker) + 10].partition(" ")[0]


def is_shipped(level: str, own_lines: OwnLines) -> bool:
    return level in _shipped[own_lines]
