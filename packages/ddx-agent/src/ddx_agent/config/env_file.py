"""Another environment's variables, from a file: lines of NAME=VALUE, or JSON as AWS prints a function's configuration."""

from __future__ import annotations

from typing import Any

import msgspec


def read_env_file(path: str) -> dict[str, str]:
    """The file's variables. Raises OSError, or ValueError with the line that cannot be read."""
    with open(path, encoding="utf-8") as file:
        return parse_env_file(file.read())


def parse_env_file(content: str) -> dict[str, str]:
    """Raises ValueError with the line that cannot be read (never its value)."""
    text = content.removeprefix("\ufeff").strip()
    if text.startswith("{"):
        return _from_json(text)
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not name.strip():
            raise ValueError(f"line {number}: expected NAME=VALUE")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def _from_json(text: str) -> dict[str, str]:
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("it begins like JSON and is none") from None
    for key in ("Configuration", "Environment", "Variables"):
        if isinstance(document, dict) and isinstance(document.get(key), dict):  # type: ignore[union-attr]
            document = document[key]  # type: ignore[index]
        elif key == "Environment" and isinstance(document, dict) and "FunctionArn" in document:
            # AWS leaves it out for a function without variables.
            return {}
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):  # type: ignore[union-attr]
        raise ValueError("expected an object of names and texts")
    return document  # type: ignore[return-value]
