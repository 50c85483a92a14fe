"""The extension's own file and Datadog's libraries: what is installed in the function's image or layers, and where."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .findings import Finding, Findings

extension_path = "opt/extensions/datadog-agent"
_python = {"datadog-lambda": "datadog_lambda", "ddtrace": "ddtrace", "datadog": "datadog"}
_node = ("datadog-lambda-js", "dd-trace")
_layer_folders = ("opt/extensions", "opt/python", "opt/nodejs", "opt/datadog", "opt/datadog-lambda")
_most_bytes = 1 << 20


class Library(msgspec.Struct, frozen=True, order=True):
    """`folder` is the one it was found in, as it is seen inside the function."""

    name: str
    version: str
    folder: str


class Installed(msgspec.Struct, frozen=True):
    """`is_function`: this is a function's image or sandbox. `extension`: its file is there, and may be executed or not."""

    is_function: bool
    has_extension: bool
    is_executable: bool
    libraries: tuple[Library, ...]

    def has(self, name: str) -> bool:
        return any(library.name == name for library in self.libraries)


def look_at_libraries(root: Path, environ: Mapping[str, str], python_path: Sequence[str]) -> Installed:
    """`root` is / but in tests; `python_path` is searched as it is."""
    extension = root / extension_path
    return Installed(
        is_function=_is_function(root, environ),
        has_extension=extension.is_file(),
        is_executable=os.access(extension, os.X_OK),
        libraries=tuple(sorted({*_python_libraries(root, python_path), *_node_libraries(root)})),
    )


def judge_libraries(installed: Installed) -> list[Finding]:
    found = Findings("layer and libraries")
    if not installed.is_function:
        found.note("this is no function's image: what Lambda would find in it cannot be judged here")
    elif not installed.has_extension:
        found.error(
            f"/{extension_path} is missing: Lambda starts no extension",
            "add the layer to the function or, in a container image, copy the layer's content to /opt",
        )
    elif not installed.is_executable:
        found.error(f"/{extension_path} cannot be executed", f"in the image's build: chmod 755 /{extension_path}")
    else:
        found.ok(f"/{extension_path} is there")
    by_name: defaultdict[str, list[Library]] = defaultdict(list)
    for library in installed.libraries:
        by_name[library.name].append(library)
    for name, libraries in by_name.items():
        told = ", ".join(f"{library.version} in {library.folder}" for library in libraries)
        if len({library.version for library in libraries}) > 1:
            found.warning(
                f"{name} is there in several versions: {told}",
                f"keep one: take {name} out of the function's own dependencies, or the layer off the function",
            )
        else:
            found.ok(f"{name} {told}")
    if installed.is_function and not installed.libraries:
        found.note(
            "none of Datadog's libraries is there: logs and enhanced metrics are sent, traces and custom metrics are not",
            "Python: add Datadog's layer or `pip install datadog-lambda`; Node.js: the layer or `npm install datadog-lambda-js`",
        )
    return list(found)


def _is_function(root: Path, environ: Mapping[str, str]) -> bool:
    # Every Linux has an /opt: only what layers put there tells.
    return "AWS_LAMBDA_FUNCTION_NAME" in environ or any(
        (root / each).is_dir() for each in ("var/task", *_layer_folders)
    )


def _python_libraries(root: Path, python_path: Iterable[str]) -> Iterable[Library]:
    folders = [*sorted(root.glob("opt/python/lib/python*/site-packages")), root / "opt/python", root / "var/task"]
    folders += [Path(each) for each in python_path if each]
    for folder in dict.fromkeys(folders):
        try:
            entries = os.listdir(folder)
        except OSError:
            continue
        for name, stem in _python.items():
            for entry in entries:
                # `datadog_lambda-8.130.0.dist-info`: a name has no hyphen here, and so the version begins after the first.
                if entry.lower().startswith(f"{stem}-") and entry.endswith(".dist-info"):
                    yield Library(name, entry.removesuffix(".dist-info")[len(stem) + 1 :], _seen(folder, root))


def _node_libraries(root: Path) -> Iterable[Library]:
    for folder in (root / "opt/nodejs/node_modules", root / "var/task/node_modules"):
        for name in _node:
            version = _package_version(folder / name / "package.json")
            if version is not None:
                yield Library(name, version, _seen(folder, root))


def _package_version(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            document: Any = msgspec.json.decode(file.read(_most_bytes))
    except OSError:
        return None
    except (msgspec.MsgspecError, RecursionError):
        document = None
    version: Any = document.get("version") if isinstance(document, dict) else None  # type: ignore[union-attr]
    return version[:40] if isinstance(version, str) else "of an unknown version"


def _seen(folder: Path, root: Path) -> str:
    return f"/{folder.relative_to(root)}" if folder.is_relative_to(root) else str(folder)
