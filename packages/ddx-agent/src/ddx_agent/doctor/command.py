"""The command `ddx doctor`."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Mapping

from ddx_agent import version
from ddx_agent.config.env_file import read_env_file
from ddx_agent.config.file import find_file, read_file
from ddx_agent.standard_output import write_out

from .examine import Place, examine
from .findings import exit_code
from .report import render_json, render_text

shortest_s, longest_s = 0.1, 600.0
_credentials = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
_regions = ("AWS_REGION", "AWS_DEFAULT_REGION")


async def run_doctor(options: argparse.Namespace) -> int:
    """The exit code tells the worst finding: 0 fine, 1 warnings, 2 errors, or that --env or --timeout cannot be used."""
    try:
        environ = _read_environ(options.env) if options.env else os.environ
    except (OSError, ValueError) as error:
        return _refuse(f"{options.env}: {getattr(error, 'strerror', None) or error}")
    if not shortest_s <= options.timeout <= longest_s:
        return _refuse(f"--timeout: expected seconds from {shortest_s:g} to {longest_s:g}")
    # What the agent would log is among the findings.
    logging.getLogger("ddx").addHandler(logging.NullHandler())
    place = Place(
        environ=dict(environ),
        file=read_file(options.file or find_file(environ)),
        is_offline=options.offline,
        timeout_s=options.timeout,
        python_path=tuple(sys.path),
    )
    findings = await examine(place)
    if options.json:
        text = render_json(findings, version=version)
    else:
        text = render_text(findings, width=shutil.get_terminal_size((120, 40)).columns)
    write_out(text)
    return exit_code(findings)


def _read_environ(path: str) -> Mapping[str, str]:
    """The file's variables. A function's configuration has no credentials: those of whoever asks stand in for its role's."""
    environ = read_env_file(path)
    if any(name in environ for name in _credentials):
        return environ
    return {name: os.environ[name] for name in (*_credentials, *_regions) if name in os.environ} | environ


def _refuse(problem: str) -> int:
    sys.stderr.write(f"ddx doctor: {problem}\n")
    return 2
