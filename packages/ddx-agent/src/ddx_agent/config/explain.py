"""`ddx config`: the effective configuration, where each value came from, and what was wrong. Secrets are masked."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

import msgspec

from .complaint import Complaint
from .environment import read_environment
from .load import Loaded
from .other_names import judge_keys, judge_names
from .schema import known_paths, known_variables, section_types
from .setting import Setting
from .shown import shown


class Row(msgspec.Struct, frozen=True):
    """One setting as people and programs see it. `source`: `default`, a variable, or `datadog.yaml: key`."""

    section: str
    setting: str
    variable: str
    value: str
    source: str
    default: str
    about: str


def explain_json(loaded: Loaded, environ: Mapping[str, str]) -> str:
    complaints = [str(complaint) for complaint in all_complaints(loaded, environ)]
    document = {"settings": _rows(loaded), "complaints": complaints, "file": loaded.file.path}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def explain_text(loaded: Loaded, environ: Mapping[str, str], *, width: int | None = None) -> str:
    """A table: what was set is marked with `*`; what was wrong comes last, where a terminal shows it."""
    width = width or shutil.get_terminal_size((120, 40)).columns
    rows = _rows(loaded)
    columns = [min(limit, max(len(getattr(row, name)) for row in rows)) for name, limit in _columns]
    indent = " " * (sum(columns) + 2 * len(columns) + 2)
    lines = [f"file: {loaded.file.path or 'no datadog.yaml'}"]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines.append(f"\n{section}")
        cells = [getattr(row, name) for name, _ in _columns]
        mark = " " if row.source == "default" else "*"
        line = f"{mark} " + "".join(f"{cell:<{size}}  " for cell, size in zip(cells, columns, strict=True))
        about = textwrap.wrap(row.about, max(30, width - len(indent)))
        lines.append((line + about[0] if len(line) <= len(indent) else f"{line}\n{indent}{about[0]}").rstrip())
        lines.extend(indent + more for more in about[1:])
    complaints = [f"! {complaint}" for complaint in all_complaints(loaded, environ)]
    return "\n".join([*lines, *([""] if complaints else []), *complaints]) + "\n"


_columns = (("variable", 34), ("value", 30), ("source", 30), ("default", 18))


def all_complaints(loaded: Loaded, environ: Mapping[str, str]) -> list[Complaint]:
    """What could not be used of the sources, and the names that do nothing."""
    keys = judge_keys(loaded.file.tree, known_paths())
    return [*loaded.complaints, *keys, *judge_names(read_environment(environ), known_variables())]


def _rows(loaded: Loaded) -> list[Row]:
    return [
        _row(loaded, section, field, setting)
        for section, kind in section_types.items()
        for field, setting in kind.settings.items()
    ]


def _row(loaded: Loaded, section: str, field: str, setting: Setting) -> Row:
    name = f"{section}.{field}"
    value: Any = getattr(getattr(loaded.config, section), field)
    source = loaded.sources.get(name)
    is_secret = setting.is_secret or (source is not None and source.kind == "secret")
    return Row(
        section=section_types[section].title,
        setting=name,
        variable=setting.variables[0],
        value=shown(value, is_secret=is_secret),
        source="default"
        if source is None
        else f"datadog.yaml: {source.name}"
        if source.kind == "file"
        else source.name,
        default=shown(setting.default, is_secret=False),
        about=setting.about.replace("`", ""),
    )
