"""The environment → Config. A bad value is named and replaced by its default; nothing in here can fail or stop the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .parse import Complaint
from .schema import Config, section_types
from .setting import Setting


class Loaded(msgspec.Struct, frozen=True):
    """`sources` tells for every `section.field` which variable gave its value; one that is missing has its default."""

    config: Config
    complaints: tuple[Complaint, ...]
    sources: dict[str, str]


def load_config(environ: Mapping[str, str]) -> Loaded:
    """Read every setting from `environ`. Names count in any letter case; DATADOG_ is another spelling of DD_."""
    by_name = _normalise(environ)
    sources: dict[str, str] = {}
    complaints: list[Complaint] = []
    sections: dict[str, Any] = {}
    for section, kind in section_types.items():
        values: dict[str, Any] = {}
        for field, setting in kind.settings.items():
            found = _read(setting, by_name, complaints)
            if found is not None:
                sources[f"{section}.{field}"], values[field] = found
        sections[section] = kind(**values)
    return Loaded(Config(**sections), tuple(complaints), sources)


def _read(setting: Setting, by_name: Mapping[str, str], complaints: list[Complaint]) -> tuple[str, object] | None:
    names = (*setting.variables, setting.general) if setting.general else setting.variables
    for variable in names:
        written = by_name.get(variable)
        if written is None or not written.strip():
            continue
        try:
            value = setting.parse(written)
        except ValueError as error:
            complaints.append(Complaint(variable, str(error), "the default is used"))
            continue
        if value is not None:
            return variable, value
    return None


def _normalise(environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    # DD_ is stronger than DATADOG_, and the exact spelling than another letter case: the strongest is written last.
    for name in sorted(environ, key=lambda name: (name.startswith("DD"), name == name.upper())):
        upper = name.upper()
        if upper.startswith("DATADOG_"):
            upper = "DD_" + upper.removeprefix("DATADOG_")
        if upper.startswith(("DD_", "DDX_")):
            found[upper] = _readable(environ[name])
    return found


def _readable(value: str) -> str:
    """What is no UTF-8 in the environment comes as lone surrogates, which no encoder takes: those become U+FFFD."""
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
