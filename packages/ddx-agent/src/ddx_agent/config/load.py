"""The sources → Config. A bad value is named and replaced; nothing in here can fail or stop the agent.

Order, strongest first: a secret that stands for a variable, the environment, datadog.yaml, the default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ddx_agent.variables import read_environment, unquoted

from .complaint import Complaint
from .contradictions import contradictions
from .file import ConfigFile, find_file, read_file
from .parse import Partly, Raw
from .schema import Config, section_types
from .setting import Setting


class Source(msgspec.Struct, frozen=True):
    """Where a value comes from. `kind`: secret, environment or file; `name`: the variable, or the path in datadog.yaml."""

    kind: str
    name: str


class Loaded(msgspec.Struct, frozen=True):
    """`sources` tells of every `section.field` that has not its default where its value comes from."""

    config: Config
    complaints: tuple[Complaint, ...]
    sources: dict[str, Source]
    file: ConfigFile


def load_config(
    environ: Mapping[str, str], *, file: ConfigFile | None = None, secrets: Mapping[str, str] | None = None
) -> Loaded:
    """Read every setting. `file` is looked for as the environment says, unless given; `secrets` are values by variable
    that were resolved from `..._SECRET_ARN` or `..._KMS_ENCRYPTED`."""
    file = read_file(find_file(environ)) if file is None else file
    reader = _Reader(read_environment(environ), file, secrets or {})
    sources: dict[str, Source] = {}
    sections: dict[str, Any] = {}
    for section, kind in section_types.items():
        values: dict[str, Any] = {}
        for field, setting in kind.settings.items():
            found = reader.read(setting)
            if found is not None:
                sources[f"{section}.{field}"], values[field] = found
        for group in kind.one_source:
            _keep_strongest(group, section, values, sources)
        sections[section] = kind(**values)
    config = Config(**sections)
    complaints = (*file.complaints, *reader.complaints, *contradictions(config))
    if config.intakes.lacks_worker:
        config.logs = config.logs.switched_off()
    return Loaded(config, complaints, sources, file)


_strength = ("secret", "environment", "file")


def _keep_strongest(fields: tuple[str, ...], section: str, values: dict[str, Any], sources: dict[str, Source]) -> None:
    found = [field for field in fields if field in values]
    best = min((_strength.index(sources[f"{section}.{field}"].kind) for field in found), default=0)
    for field in found:
        if _strength.index(sources[f"{section}.{field}"].kind) > best:
            del values[field], sources[f"{section}.{field}"]


most_problems = 20
"""Of one value that are told one by one."""


def _bounded(problems: tuple[str, ...]) -> tuple[str, ...]:
    left = len(problems) - most_problems
    return problems if left <= 0 else (*problems[:most_problems], f"{left} more entries are wrong")


class _Reader:
    def __init__(self, by_name: Mapping[str, str], file: ConfigFile, secrets: Mapping[str, str]) -> None:
        self._by_name = by_name
        self._file = file
        self._secrets = secrets
        self.complaints: list[Complaint] = []

    def read(self, setting: Setting) -> tuple[Source, object] | None:
        """The strongest usable value. A bad one makes room for the next source."""
        refused: list[tuple[Source, str]] = []
        found: tuple[Source, object] | None = None
        for source, raw in self._candidates(setting):
            try:
                value = setting.parse(raw)
            except ValueError as error:
                refused.append((source, str(error)))
                continue
            except Exception as error:
                # Its text may quote the value.
                refused.append((source, f"reading it failed with {type(error).__name__}, which is a defect of ddx"))
                continue
            if isinstance(value, Partly):
                problems = _bounded(value.problems)
                if problems and not value.value:
                    # Nothing usable in it: a typo must not clear what a weaker source says, masks least of all.
                    refused.extend((source, problem) for problem in problems)
                    continue
                self.complaints.extend(
                    Complaint(source.name, problem, "it is left out, the rest is used") for problem in problems
                )
                value = value.value
            if value is not None:
                found = source, value
                break
        instead = "the default is used" if found is None else f"{found[0].name} is used"
        self.complaints.extend(Complaint(source.name, problem, instead) for source, problem in refused)
        return found

    def _candidates(self, setting: Setting) -> Iterator[tuple[Source, Raw]]:
        yield from self._under(setting, setting.variables, setting.yaml)
        if setting.general is not None:
            yield from self._under(setting, (setting.general,), setting.general_path)

    def _under(self, setting: Setting, variables: tuple[str, ...], path: str) -> Iterator[tuple[Source, Raw]]:
        for name in variables:
            if name in self._secrets:
                yield Source("secret", name), self._secrets[name]
        for name in variables:
            if name in self._by_name:
                written = self._by_name[name]
                value = written if setting.reads_quotes else unquoted(written)
                if value.strip():
                    yield Source("environment", name), value
        if path and self._file.tree:
            raw = self._file.get(path)
            if raw is not None:
                yield Source("file", path), raw
