from __future__ import annotations

import pytest

from ddx_logs.own_lines import is_shipped, own_level
from ddx_logs.settings import OwnLines


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{"status":"INFO","message":"DD_EXTENSION | INFO | hello world"}', "INFO"),
        ('{"level":"ERROR","message":"DD_EXTENSION | ERROR | Extension loop failed"}', "ERROR"),
        ('{"status": "WARN", "message": "DD_EXTENSION | WARN | x"}', "WARN"),
        ("DD_EXTENSION | DEBUG | x", "DEBUG"),
        ("DD_EXTENSION | ", ""),
        ('{"status":"INFO","message":"of DD_EXTENSION | INFO | I speak"}', None),
        ("of DD_EXTENSION | INFO | I speak", None),
        ('{"message":"another extension"}', None),
        ("x" * 500 + "DD_EXTENSION | INFO | x", None),
        ("", None),
    ],
)
def test_own_line_is_told_from_other_lines(text: str, level: str | None) -> None:
    assert own_level(text) == level


@pytest.mark.parametrize(
    ("own_lines", "shipped"),
    [
        (OwnLines.NONE, set[str]()),
        (OwnLines.WARNINGS, {"WARN", "ERROR"}),
        (OwnLines.INFO, {"WARN", "ERROR", "INFO"}),
    ],
)
def test_debug_and_trace_lines_are_never_shipped(own_lines: OwnLines, shipped: set[str]) -> None:
    levels = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE", "")
    assert {level for level in levels if is_shipped(level, own_lines)} == shipped
