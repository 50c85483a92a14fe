"""A function: all that the platform needs to know of it, and the events to play. `function_folder.py` reads them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import msgspec

from ddx_core.errors import ConfigError

from .quotas import max_memory_mb, max_timeout_s, min_memory_mb

Outcome = Literal["success", "error", "timeout"]
Runtime = Literal["python", "bootstrap"]

bootstrap_file = "bootstrap"

own_python_version = "{}.{}".format(*sys.version_info)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One event to play, and what should come of it."""

    name: str
    payload: bytes
    expect: Outcome = "success"


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """All that the platform needs to know of a function."""

    folder: Path
    name: str
    handler: str
    runtime: Runtime = "python"
    python: str = sys.executable
    """The interpreter of a Python function; `awslambdaric` must be importable in it."""
    python_version: str = own_python_version
    memory_mb: int = 512
    timeout_s: float = 30.0
    environment: dict[str, str] = {}
    log_format: Literal["Text", "JSON"] = "Text"
    tracing: Literal["Active", "PassThrough"] = "PassThrough"
    region: str = "us-east-1"
    account_id: str = "123456789012"
    samples: tuple[Sample, ...] = ()

    @property
    def version(self) -> str:
        return "$LATEST"

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.name}"

    @property
    def command(self) -> list[str]:
        if self.runtime == "bootstrap":
            return [str(self.folder / bootstrap_file)]
        return [self.python, "-m", "awslambdaric", self.handler]

    @property
    def execution_env(self) -> str | None:
        """Lambda names only its own runtimes; a `bootstrap` gets no AWS_EXECUTION_ENV."""
        if self.runtime == "bootstrap":
            return None
        return f"AWS_Lambda_python{self.python_version}"


def check_memory(memory_mb: int, said: str) -> None:
    """Raises ConfigError, which begins with what was `said`, for a size that Lambda does not offer."""
    if not min_memory_mb <= memory_mb <= max_memory_mb:
        raise ConfigError(f"{said}: expected {min_memory_mb} to {max_memory_mb}")


def check_timeout(timeout_s: float, said: str) -> None:
    """Raises ConfigError, which begins with what was `said`, for a timeout that Lambda does not offer."""
    if not 0 < timeout_s <= max_timeout_s:
        raise ConfigError(f"{said}: expected more than 0, at most {max_timeout_s}")
