"""`ddx config`: the effective configuration, where each value came from, and what was wrong. Secrets are masked.

Nobody is asked for what stands in AWS: of such a setting the variable that names the secret is shown.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ddx_agent.ports import ports
from ddx_agent.secrets import find_secret_variables
from ddx_agent.variables import plain, read_environment, says, yes

from .complaint import Complaint
from .load import Loaded, Source
from .other_names import judge_keys, judge_names
from .schema import known_paths, known_variables, ports_read_at_start, section_types
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
    document = {"settings": _rows(loaded, environ), "complaints": complaints, "file": loaded.file.path}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def explain_text(loaded: Loaded, environ: Mapping[str, str], *, width: int | None = None) -> str:
    """A table: what was set is marked with `*`; what was wrong comes last, where a terminal shows it."""
    width = width or shutil.get_terminal_size((120, 40)).columns
    rows = _rows(loaded, environ)
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
    secrets = _secrets_by_variable(environ)
    return [
        # What a secret is to give is only missing here, where it is not asked for.
        *(each for each in loaded.complaints if not (each.is_severe and each.variable in secrets)),
        *judge_ports(environ),
        *judge_keys(loaded.file.tree, known_paths()),
        *judge_names(read_environment(environ), known_variables()),
    ]


def _rows(loaded: Loaded, environ: Mapping[str, str]) -> list[Row]:
    secrets = _secrets_by_variable(environ)
    rows = [
        _row(loaded, secrets, section, field, setting)
        for section, kind in section_types.items()
        for field, setting in kind.settings.items()
    ]
    return [*rows, *_port_rows(environ)]


def _row(loaded: Loaded, secrets: Mapping[str, str], section: str, field: str, setting: Setting) -> Row:
    name = f"{section}.{field}"
    value: Any = getattr(getattr(loaded.config, section), field)
    source = loaded.sources.get(name)
    named_by = _named_by(setting, source, secrets)
    is_secret = setting.is_secret or (source is not None and source.kind == "secret")
    return Row(
        section=section_types[section].title,
        setting=name,
        variable=setting.variables[0],
        value="***" if named_by else shown(value, is_secret=is_secret),
        source=named_by or _source(source),
        default=shown(setting.default, is_secret=False),
        about=setting.about.replace("`", ""),
    )


def _source(source: Source | None) -> str:
    if source is None:
        return "default"
    return f"datadog.yaml: {source.name}" if source.kind == "file" else source.name


def _secrets_by_variable(environ: Mapping[str, str]) -> dict[str, str]:
    return {each.stands_for: each.name for each in find_secret_variables(environ, known_variables())}


def _named_by(setting: Setting, source: Source | None, secrets: Mapping[str, str]) -> str | None:
    """The variable that names the secret which gives this setting its value."""
    own = next((secrets[name] for name in setting.variables if name in secrets), None)
    if own is not None or setting.general is None:
        return own
    is_general = source is None or source.name in (setting.general, setting.general_path)
    return secrets.get(setting.general) if is_general else None


_port_of = {port.variable: port for port in ports}


def _port_rows(environ: Mapping[str, str]) -> list[Row]:
    rows: list[Row] = []
    variables = read_environment(environ)
    for variable, default, about in ports_read_at_start:
        written = plain(variables, variable)
        value, is_used = written or str(default), bool(written)
        if variable in _port_of:
            number, complaint = _port_of[variable].number(variables)
            value, is_used = str(number), is_used and complaint is None
        elif default == "false":
            value = "true" if says(variables, variable, yes) else "false"
        rows.append(
            Row(
                section="Ports",
                setting=f"ports.{variable.partition('_')[2].lower()}",
                variable=variable,
                value=value,
                source=variable if is_used else "default",
                default=str(default),
                about=about.replace("`", ""),
            )
        )
    return rows


def judge_ports(environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A complaint for every port that is none: these are read before any configuration."""
    variables = read_environment(environ)
    for port in ports:
        number, complaint = port.number(variables)
        if complaint is not None:
            yield Complaint(port.variable, "expected a port number from 0 to 65535", f"{number} is used")
