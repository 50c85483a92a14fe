"""What the command line of `ddx local` may say, and the function and the extension that are chosen with it."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

import msgspec

from ddx_core.errors import ConfigError

from ..function import Function, check_memory, check_timeout
from ..function_folder import load_function
from ..platform.opening import our_extension
from .forms import at_least_one, milliseconds, port_number

default_port = 9000
"""Of the invoke endpoint with `--serve`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, help="the function: a folder with function.toml, a Python handler, or bootstrap"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")
    parser.add_argument("--serve", action="store_true", help="play no events: keep the function up to be invoked")
    parser.add_argument(
        "--repeat", "--invocations", type=at_least_one, default=1, metavar="N", help="play all events N times"
    )
    parser.add_argument("--extension", metavar="CMD", help="run this extension in place of ours")
    parser.add_argument("--no-extension", action="store_true", help="run the function alone")
    parser.add_argument(
        "--env", action="append", default=[], metavar="KEY=VALUE", help="set a variable of the function"
    )
    parser.add_argument("--memory", type=int, metavar="MB", help="memory size, in place of the function's")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="timeout, in place of the function's")
    parser.add_argument("--no-freeze", action="store_true", help="let the sandbox run between invocations")
    parser.add_argument("--no-cpu-share", action="store_true", help="do not hold the sandbox to its memory's CPU share")
    parser.add_argument(
        "--keep-frozen-ms", type=milliseconds, default=0, metavar="MS", help="wait this long between invocations"
    )
    parser.add_argument(
        "--port", type=port_number, help=f"of the invoke endpoint (with --serve {default_port}, else any)"
    )
    parser.add_argument("--intake-port", type=port_number, default=0, help="of the embedded intake (default: any)")


def chosen_function(args: argparse.Namespace) -> Function:
    """The folder's function, with what the command line says in place of its own settings. Raises ConfigError."""
    function = load_function(args.folder)
    environment = dict(function.environment)
    for setting in args.env:
        name, equals, value = setting.partition("=")
        if not name or not equals:
            raise ConfigError(f"--env {setting}: expected KEY=VALUE")
        environment[name] = value
    memory_mb = function.memory_mb if args.memory is None else args.memory
    timeout_s = function.timeout_s if args.timeout is None else args.timeout
    check_memory(memory_mb, f"--memory {memory_mb}")
    check_timeout(timeout_s, f"--timeout {timeout_s:g}")
    return msgspec.structs.replace(function, environment=environment, memory_mb=memory_mb, timeout_s=timeout_s)


def chosen_extension(args: argparse.Namespace) -> list[str] | None:
    """The command of the extension to run, `None` for none. Raises ConfigError."""
    if args.no_extension:
        return None
    if args.extension is None:
        return list(our_extension)
    try:
        command = shlex.split(args.extension)
    except ValueError as error:
        raise ConfigError(f"--extension {args.extension}: {error}") from error
    if not command:
        raise ConfigError("--extension: expected a command")
    # Extensions are started in the root folder, as on Lambda: a path is meant from here.
    if os.sep in command[0]:
        command[0] = str(Path(command[0]).resolve())
    return command
