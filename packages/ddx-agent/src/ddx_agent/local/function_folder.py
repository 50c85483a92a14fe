"""A function folder: what `function.toml` says, what is taken when it says nothing, and the sample events beside it.

orders/
    function.toml                 optional
    handler.py or bootstrap
    events/10-order.json          one event a file, played in the order of their names
    events/30-no-stock.error.json the word before `.json` names the expected outcome: success, error or timeout
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ddx_core.errors import ConfigError

from .function import (
    Function,
    Outcome,
    Runtime,
    Sample,
    bootstrap_file,
    check_memory,
    check_timeout,
    own_python_version,
)

settings_file = "function.toml"

_outcomes: tuple[Outcome, ...] = ("success", "error", "timeout")
_handler_files = ("lambda_function.py", "handler.py", "app.py", "main.py", "index.py")
_handler_names = ("lambda_handler", "handler")

# Names, regions and accounts make ARNs, which stand in URLs and headers.
_Name = Annotated[str, msgspec.Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
_Region = Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]+$")]
_AccountId = Annotated[str, msgspec.Meta(pattern="^[0-9]{12}$")]


class _Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The keys of function.toml."""

    name: _Name | None = None
    handler: str | None = None
    runtime: Runtime | None = None
    python: str | None = None
    memory_mb: int = 512
    timeout_s: float = 30.0
    environment: dict[str, str | int | float | bool] = {}
    log_format: Literal["Text", "JSON"] = "Text"
    tracing: Literal["Active", "PassThrough"] = "PassThrough"
    region: _Region = "us-east-1"
    account_id: _AccountId = "123456789012"


def load_function(folder: Path) -> Function:
    """Read a function folder. Raises ConfigError, naming the file and the key."""
    folder = folder.resolve()
    if not folder.is_dir():
        if folder.exists():
            raise ConfigError(f"{folder} is a file; name the folder that it is in: {folder.parent}")
        raise ConfigError(f"{folder}: no such folder")
    file = folder / settings_file
    settings = _read_settings(file)
    check_memory(settings.memory_mb, f"{file}: memory_mb = {settings.memory_mb}")
    check_timeout(settings.timeout_s, f"{file}: timeout_s = {settings.timeout_s:g}")
    runtime = settings.runtime or ("bootstrap" if (folder / bootstrap_file).exists() else "python")
    if runtime == "bootstrap":
        _check_bootstrap(folder / bootstrap_file)
    python = settings.python or sys.executable
    if settings.python is not None and os.sep in settings.python:
        python = str(folder / settings.python)
        if not Path(python).exists():
            raise ConfigError(f"{file}: python = {settings.python!r}: no such file")
    environment = {name: _as_text(value) for name, value in settings.environment.items()}
    handler = settings.handler or _default_handler(folder, runtime)
    version = _check_python(python, folder, environment) if runtime == "python" else own_python_version
    return Function(
        folder=folder,
        name=settings.name or _name_after(folder),
        handler=handler,
        runtime=runtime,
        python=python,
        python_version=version,
        memory_mb=settings.memory_mb,
        timeout_s=settings.timeout_s,
        environment=environment,
        log_format=settings.log_format,
        tracing=settings.tracing,
        region=settings.region,
        account_id=settings.account_id,
        samples=tuple(_read_samples(folder / "events")),
    )


def _read_settings(file: Path) -> _Settings:
    try:
        text = file.read_bytes().decode()
    except FileNotFoundError:
        return _Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    try:
        return msgspec.convert(tomllib.loads(text), _Settings)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{file}: {_readable(str(error))}") from error


def _readable(message: str) -> str:
    """`Expected `int`, got `str` - at `$.memory_mb`` → `memory_mb: expected int, got str`."""
    what, at, where = message.partition(" - at `$.")
    what = what.replace("`", "")
    what = what[:1].lower() + what[1:]
    if what.startswith("object contains unknown field "):
        return _unknown_key(what.removeprefix("object contains unknown field "))
    if what.startswith("invalid enum value "):
        what += f", expected {_choices[where.rstrip('`')]}"
    return f"{where.rstrip('`')}: {what}" if at else what


_choices = {"runtime": "python or bootstrap", "log_format": "Text or JSON", "tracing": "Active or PassThrough"}


def _unknown_key(key: str) -> str:
    close = difflib.get_close_matches(key, _Settings.__struct_fields__, n=1)
    return f"unknown key {key}{f'; did you mean {close[0]}?' if close else ''}"


def _as_text(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


# An exit code that the interpreter itself does not use.
_no_client = 77
_find_client = (
    "import importlib.util, sys; print('{}.{}'.format(*sys.version_info)); "
    f"sys.exit(0 if importlib.util.find_spec('awslambdaric') else {_no_client})"
)


def _check_python(python: str, folder: Path, environment: Mapping[str, str]) -> str:
    """The interpreter's version, as `3.12`; ours, when it does not tell.

    Without the runtime's client a function dies in its init, and the reason is one line among its logs: refused here.
    """
    try:
        found = subprocess.run(  # noqa: S603 - the interpreter that the function will run in
            [python, "-c", _find_client],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise ConfigError(f"cannot run {python}, the function's interpreter: {error.strerror}") from error
    if found.returncode == _no_client:
        raise ConfigError(
            f"Python functions run on AWS's own client, which {python} does not have: {python} -m pip install awslambdaric"
        )
    told = re.search(rb"^[0-9]+\.[0-9]+$", found.stdout, re.MULTILINE)
    return own_python_version if told is None else told[0].decode()


def _check_bootstrap(file: Path) -> None:
    if not file.exists():
        raise ConfigError(f"{file}: no such file, and runtime is `bootstrap`")
    if not os.access(file, os.X_OK):
        raise ConfigError(f"{file}: is not executable (chmod +x)")


def _name_after(folder: Path) -> str:
    """The folder's name with `-` for what no function's name may have, as `ü` or a blank."""
    return re.sub("[^a-zA-Z0-9_-]", "-", folder.name).strip("-")[:64] or "function"


def _default_handler(folder: Path, runtime: Runtime) -> str:
    """The first of the usual files that defines one of the usual names."""
    if runtime == "bootstrap":
        return "bootstrap"
    for name in _handler_files:
        file = folder / name
        if not file.exists():
            continue
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise ConfigError(f"{file}: {error}") from error
        for wanted in _handler_names:
            if wanted in _defined(tree):
                return f"{file.stem}.{wanted}"
    raise ConfigError(
        f"{folder}: found neither `{bootstrap_file}` nor a Python file ({', '.join(_handler_files)}) that defines "
        f"{' or '.join(_handler_names)}. A Python function elsewhere: name it in {settings_file}, "
        'handler = "module.function". Another language: put an executable `bootstrap` there that starts its runtime'
    )


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def _read_samples(folder: Path) -> Sequence[Sample]:
    if not folder.is_dir():
        return []
    return [_sample(file) for file in sorted(folder.glob("*.json"))]


def _sample(file: Path) -> Sample:
    payload = file.read_bytes()
    try:
        msgspec.json.decode(payload)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: {error}") from error
    name, _, last = file.stem.rpartition(".")
    for outcome in _outcomes:
        if name and last == outcome:
            return Sample(name=name, payload=payload, expect=outcome)
    return Sample(name=file.stem, payload=payload)
