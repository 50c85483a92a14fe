"""A setting's value as people read it, secrets masked."""

from __future__ import annotations

from typing import Any, cast

from .endpoints import AdditionalEndpoint


def shown(value: Any, *, is_secret: bool) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(_part(part, is_secret=is_secret) for part in cast("tuple[Any, ...]", value))
    if is_secret:
        # Enough to tell one key from another, as Datadog's own pages do.
        return f"***{value[-4:]}" if isinstance(value, str) and len(value) > 12 and "@" not in value else "***"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _part(part: Any, *, is_secret: bool) -> str:
    if isinstance(part, AdditionalEndpoint):
        return part.base_url
    if is_secret:
        return "***"
    if isinstance(part, tuple):
        key, value = cast("tuple[str, str]", part)
        return f"{key}:{value}" if value else key
    return str(part)
