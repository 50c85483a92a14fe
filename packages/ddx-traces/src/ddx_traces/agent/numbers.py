"""Whole numbers that tracers send in more than one way. Pure."""

from __future__ import annotations

from typing import Any

from ddx_core.errors import MalformedInput


def whole(value: Any, least: int, most: int) -> int:
    """A whole number within these bounds, also where a float was sent for it; nil is 0."""
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and least <= value <= most:
        return int(value)
    raise MalformedInput(f"a whole number from {least} to {most} is expected")


def unsigned(value: Any) -> int:
    return whole(value, 0, 2**64 - 1)
