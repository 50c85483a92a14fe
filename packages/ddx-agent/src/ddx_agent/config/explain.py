"""`ddx config`: the effective configuration, where each value came from, and what was wrong. Secrets are masked."""

from __future__ import annotations

from typing import Any

import msgspec

from .load import Loaded
from .schema import section_types
from .setting import Setting


def explain(loaded: Loaded, *, as_json: bool) -> str:
    rows = [
        _row(loaded, section, field, setting)
        for section, kind in section_types.items()
        for field, setting in kind.settings.items()
    ]
    if as_json:
        document = {"settings": rows, "complaints": [str(complaint) for complaint in loaded.complaints]}
        return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
    width = max(len(row["variable"]) for row in rows)
    lines = [f"{row['variable']:<{width}}  {row['value']}  ({row['source']})" for row in rows]
    lines.extend(f"! {complaint}" for complaint in loaded.complaints)
    return "\n".join(lines) + "\n"


def _row(loaded: Loaded, section: str, field: str, setting: Setting) -> dict[str, Any]:
    name = f"{section}.{field}"
    value: Any = getattr(getattr(loaded.config, section), field)
    if setting.is_secret and value is not None:
        shown = f"set, ends in {value[-4:]}" if len(value) > 12 else "set"
    else:
        shown = _plain(value)
    return {
        "setting": name,
        "variable": loaded.sources.get(name, setting.variables[0]),
        "value": shown,
        "source": "environment" if name in loaded.sources else "default",
        "about": setting.about,
    }


def _plain(value: Any) -> str:
    if value is None or value == ():
        return "-"
    kind = getattr(value, "kind", None)
    if kind is not None:
        return kind.value if value.interval_ms is None else f"{kind.value},{value.interval_ms}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(":".join(part) if isinstance(part, tuple) else str(part) for part in value)  # type: ignore[misc]
    return str(value)
