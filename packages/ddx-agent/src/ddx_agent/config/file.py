"""datadog.yaml as a source. Scalars stay text, so that `version: 1.10` is 1.10 and each setting reads them by its own type.

Only what stands for nothing (`~`, `null` without quotes) is None.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from ddx_agent.variables import plain, read_environment

from .complaint import Complaint
from .parse import Raw

most_bytes = 1 << 20
deepest = 16
most_values = 20_000
most_repeated = 10
"""Of keys that stand twice that are told."""
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
        return None if isinstance(node, str) and not node.strip() else node  # type: ignore[return-value]


def find_file(environ: Mapping[str, str]) -> str | None:
    """`DD_CONFIG_FILE`, or datadog.yaml in the function's folder; None when there is no such file."""
    named = plain(read_environment(environ), "DD_CONFIG_FILE")
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
        tree, repeated = parse_yaml(content)
    except ValueError as error:
        return _refused(path, str(error))
    complaints = (Complaint(os.path.basename(path), each, "the last one is used") for each in repeated)
    return ConfigFile(path, tree, tuple(complaints))


def parse_yaml(content: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A map of maps, lists and text, and which keys stand in it twice. Raises ValueError; a hundred kilobytes of nested
    aliases are refused at the first one."""
    import yaml as module

    yaml: Any = module
    loader: Any = None
    try:
        loader = _loader_type()(content)
        _check_events(yaml.parse(content, Loader=type(loader)))
        tree: Any = loader.get_single_data()
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"it is no valid YAML{where}") from None
    except (RecursionError, UnicodeError):
        raise ValueError("it is no valid YAML") from None
    finally:
        if loader is not None:
            loader.dispose()
    if tree is None or tree == "":
        return {}, ()
    if not isinstance(tree, dict):
        raise ValueError("expected keys with values at its top")
    return tree, tuple(loader.repeated[:most_repeated])  # type: ignore[return-value]


@cache
def _loader_type() -> type[Any]:
    """A loader that makes text of every scalar, as the base one does, and tells of keys that stand twice."""
    import yaml as module

    yaml: Any = module

    class Loader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
        def __init__(self, stream: Any) -> None:
            super().__init__(stream)  # pyright: ignore[reportUnknownMemberType]
            self.repeated: list[str] = []

        def construct_scalar(self, node: Any) -> str | None:
            # A style is a quote, or what begins a block.
            return None if not node.style and node.value in ("~", "null", "Null", "NULL") else node.value

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            fields: dict[str, Any] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.constructor.ConstructorError(None, None, "a key is no text", key.start_mark)
                if key.value in fields:
                    self.repeated.append(f"`{key.value[:100]}` stands there twice (line {key.start_mark.line + 1})")
                fields[key.value] = self.construct_object(value, deep=deep)
            return fields

    return Loader


def _check_events(events: Iterator[Any]) -> None:
    """Refuses what can make a small file large or deep, or stands for objects, before anything is built of it."""
    depth = values = 0
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
            continue
        values += 1
        if values > most_values:
            raise ValueError(f"it has more than {most_values:,} keys and values")
        if not _is_plain(getattr(event, "tag", None)):
            raise ValueError(f"types written as `!name` are not allowed (line {event.start_mark.line + 1})")


def _is_plain(tag: str | None) -> bool:
    """Whether it is no tag, or one that YAML itself has: what it is about stays text all the same."""
    return tag in (None, "!") or (tag.startswith("tag:yaml.org,2002:") and "/" not in tag)


def _refused(path: str, problem: str) -> ConfigFile:
    return ConfigFile(path, {}, (Complaint(os.path.basename(path), problem, "the file is left aside"),))
