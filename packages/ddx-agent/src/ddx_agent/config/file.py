"""datadog.yaml as a source. Scalars stay text, so that `version: 1.10` is 1.10 and each setting reads them by its own type."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from .complaint import Complaint
from .parse import Raw

most_bytes = 1 << 20
deepest = 16
default_folder = "/var/task"


class ConfigFile(msgspec.Struct, frozen=True):
    """`path` is None when there is no file. `tree` is empty when there is none or it cannot be used."""

    path: str | None = None
    tree: dict[str, Any] = {}
    complaints: tuple[Complaint, ...] = ()

    def get(self, path: str) -> Raw | None:
        """The value at `a.b.c`; None when there is none, or nothing is written there."""
        node: Any = self.tree
        for key in path.split("."):
            if not isinstance(node, dict) or key not in node:
                return None
            node = node[key]  # type: ignore[assignment]
        return None if node is None or (isinstance(node, str) and node.strip() in ("", "null", "~")) else node  # type: ignore[return-value]


def find_file(environ: Mapping[str, str]) -> str | None:
    """`DD_CONFIG_FILE`, or datadog.yaml in the function's folder; None when there is no such file."""
    named = environ.get("DD_CONFIG_FILE", "").strip()
    path = named or os.path.join(environ.get("LAMBDA_TASK_ROOT") or default_folder, "datadog.yaml")
    return path if named or os.path.isfile(path) else None


def read_file(path: str | None) -> ConfigFile:
    """What the file says. Never raises: a file that cannot be used is told in a complaint, and left aside."""
    if path is None:
        return ConfigFile()
    try:
        # Opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return _refused(path, "it is no file")
        with open(path, "rb") as file:
            content = file.read(most_bytes + 1)
    except (OSError, ValueError) as error:
        return _refused(path, f"it cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})")
    if len(content) > most_bytes:
        return _refused(path, f"it is larger than {most_bytes >> 20} MiB")
    try:
        tree = parse_yaml(content)
    except ValueError as error:
        return _refused(path, str(error))
    return ConfigFile(path, tree)


def parse_yaml(content: bytes) -> dict[str, Any]:
    """A map of maps, lists and text. Raises ValueError; a hundred kilobytes of nested aliases are refused at the first one."""
    import yaml as module

    yaml: Any = module
    loader_type = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _check_events(yaml.parse(content, Loader=loader_type))
        tree: Any = yaml.load(content, Loader=loader_type)
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"it is no valid YAML{where}") from None
    except (RecursionError, UnicodeError):
        raise ValueError("it is no valid YAML") from None
    if tree is None or tree == "":
        return {}
    if not isinstance(tree, dict):
        raise ValueError("expected keys with values at its top")
    return tree  # type: ignore[return-value]


def _check_events(events: Iterator[Any]) -> None:
    """Refuses what can make a small file large or deep before anything is built of it."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        if kind == "AliasEvent":
            raise ValueError(f"aliases are not allowed (line {event.start_mark.line + 1})")
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            depth += 1
            if depth > deepest:
                raise ValueError(f"it is nested deeper than {deepest} levels")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            depth -= 1


def _refused(path: str, problem: str) -> ConfigFile:
    return ConfigFile(path, {}, (Complaint(os.path.basename(path), problem, "the file is left aside"),))
