"""From the text of a variable to a value, by the type of its setting. Pure.

A parser raises ValueError with the accepted form; the caller adds the variable's name. No parser repeats the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from ddx_core.flush import BadStrategy, Strategy, parse_strategy

Parser = Callable[[str], Any]

_true = {"true", "1", "t", "yes", "y", "on"}
_false = {"false", "0", "f", "no", "n", "off"}


def text(value: str) -> str | None:
    """Kept as written but for the space around it; blank text is the same as no text."""
    return value.strip() or None


def boolean(value: str) -> bool:
    word = value.strip().lower()
    if word in _true:
        return True
    if word in _false:
        return False
    raise ValueError("expected true or false")


def whole_number(lowest: int, highest: int) -> Parser:
    def parse(value: str) -> int:
        digits = value.strip()
        if re.fullmatch(r"[+-]?[0-9]{1,18}", digits) and lowest <= int(digits) <= highest:
            return int(digits)
        raise ValueError(f"expected a whole number from {lowest} to {highest}")

    return parse


def seconds(lowest: float, highest: float) -> Parser:
    def parse(value: str) -> float:
        try:
            number = float(value.strip())
        except ValueError:
            number = float("nan")
        if lowest <= number <= highest:
            return number
        raise ValueError(f"expected seconds as a number from {lowest:g} to {highest:g}")

    return parse


def comma_list(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def tags(value: str) -> tuple[tuple[str, str], ...]:
    """`team:web,env:prod version:1.0`: split at commas and white space; each at its first colon. A tag may have no value."""
    pairs: dict[str, str] = {}
    for piece in re.split(r"[,\s]+", value):
        key, _, rest = piece.partition(":")
        if key:
            pairs[key] = rest
    return tuple(pairs.items())


def url(value: str) -> str | None:
    """An http or https URL without query; a host alone gets `https://`. Trailing slashes are cut."""
    address = value.strip().rstrip("/")
    if not address:
        return None
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
        address = f"https://{address}"
    if re.fullmatch(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s?#]*)?", address):
        return address
    raise ValueError("expected a URL like https://host or http://127.0.0.1:8080")


def site(value: str) -> str | None:
    name = value.strip().rstrip("/").removeprefix("https://").removeprefix("http://")
    if not name:
        return None
    if re.fullmatch(r"[a-zA-Z0-9._:-]+", name):
        return name
    raise ValueError("expected a Datadog site like datadoghq.com")


def log_level(value: str) -> str:
    word = value.strip().lower()
    if word in ("error", "warn", "warning", "info", "debug", "trace"):
        return {"warning": "warn"}.get(word, word)
    raise ValueError("expected error, warn, info, debug or trace")


def namespace(value: str) -> str | None:
    name = value.strip()
    if not name:
        return None
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", name):
        return name
    raise ValueError("expected a letter, then letters, digits, _ and .")


def strategy(value: str) -> Strategy:
    try:
        return parse_strategy(value)
    except BadStrategy as error:
        raise ValueError(str(error)) from None


def secret(value: str) -> str | None:
    """White space is never part of a key, though files and consoles like to add it."""
    key = re.sub(r"\s+", "", value)
    if not re.fullmatch(r"[!-~]*", key):
        raise ValueError("expected printable ASCII characters")
    return key or None


class Complaint(msgspec.Struct, frozen=True):
    """A value that could not be used: which variable, why, and what is used instead."""

    variable: str
    problem: str
    used_instead: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem}; {self.used_instead}"
