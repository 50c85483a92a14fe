"""The name of the function's runtime (`python3.12`, `nodejs20.x`, `provided.al2023`), found from outside its process."""

from __future__ import annotations

import os
from collections.abc import Iterable

_variable = b"AWS_EXECUTION_ENV="


def find_runtime_name(proc: str = "/proc", os_release: str = "/etc/os-release") -> str:
    """Lambda hides AWS_EXECUTION_ENV from extensions but not the environment of the runtime's process."""
    for environ in _environments(proc):
        name = runtime_in_environ(environ)
        if name:
            return name
    try:
        with open(os_release, encoding="utf-8", errors="replace") as file:
            return runtime_in_os_release(file.read())
    except OSError:
        return "unknown"


def runtime_in_environ(environ: bytes) -> str | None:
    """From the text of `/proc/PID/environ`: `AWS_EXECUTION_ENV=AWS_Lambda_java21` → `java21`."""
    for entry in environ.split(b"\0"):
        if entry.startswith(_variable):
            value = entry[len(_variable) :].decode("utf-8", "replace").replace('"', "")
            return value.rpartition("_")[2] or None
    return None


def runtime_in_os_release(text: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            name = value.strip().strip('"')
            if name == "Amazon Linux 2":
                return "provided.al2"
            if name.startswith("Amazon Linux 2023"):
                return "provided.al2023"
    return "unknown"


def _environments(proc: str) -> Iterable[bytes]:
    try:
        names = os.listdir(proc)
    except OSError:
        return
    for name in names:
        if not name.isdigit() or name == "1":
            continue
        try:
            with open(f"{proc}/{name}/environ", "rb") as file:
                yield file.read(65536)
        except OSError:
            continue
