"""The commands of `ddx` other than `extension`: which there are, their options, and where each lives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence

from ddx_agent import version

AsyncCommand = Callable[[argparse.Namespace], Awaitable[int]]


def run_command(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ddx", description="The Datadog serverless agent in Python.")
    parser.add_argument("--version", action="version", version=f"ddx {version}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("extension", help="run as a Lambda extension (Lambda starts this itself)")
    local = commands.add_parser("local", help="run a function in a local Lambda, with everything it sends made visible")
    intake = commands.add_parser("intake", help="run only the embedded intake, for any Datadog agent or tracer")
    config = commands.add_parser("config", help="show the effective configuration of this environment")
    config.add_argument("--json", action="store_true", help="for programs")
    config.add_argument("--schema", action="store_true", help="print a JSON Schema of datadog.yaml, for editors")
    config.add_argument(
        "--env", metavar="FILE", help="explain this environment: NAME=VALUE lines, or JSON as AWS prints it"
    )
    config.add_argument("--file", metavar="FILE", help="the datadog.yaml to read")
    doctor = commands.add_parser("doctor", help="check what usually goes wrong, and say how to mend it")
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.add_argument("--env", metavar="FILE", help="check this environment, a file as for `ddx config`")
    doctor.add_argument("--file", metavar="FILE", help="the datadog.yaml to read")
    doctor.add_argument("--offline", action="store_true", help="leave out whatever needs the network")
    doctor.add_argument("--timeout", type=float, default=5.0, metavar="S", help="seconds a step may take (%(default)g)")
    run_by_name: dict[str, AsyncCommand] = {}
    missing = ""
    try:
        from ddx_agent.local.command import intake as intake_command
        from ddx_agent.local.command import options as local_options
        from ddx_agent.local.command import run
    except ImportError as error:
        # The Lambda layer leaves the local platform out.
        missing = str(error)
    else:
        local_options.add_arguments(local)
        intake_command.add_arguments(intake)
        run_by_name = {"local": run.run_local, "intake": intake_command.run_intake}
    # A command that is missing knows no options: that it is missing comes before what they are.
    options, unknown = parser.parse_known_args(arguments)
    if options.command in ("local", "intake") and missing:
        sys.stderr.write(
            f"ddx {options.command}: the local Lambda and intake are not installed ({missing}); from the root of a "
            "checkout: pip install './packages/ddx-agent[local]'\n"
        )
        return 2
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.command == "config":
        from ddx_agent.config.command import show_config

        return show_config(options)
    if options.command == "doctor":
        from ddx_agent.doctor.command import run_doctor

        return _run(run_doctor, options)
    return _run(run_by_name[options.command], options)


def _run(command: AsyncCommand, options: argparse.Namespace) -> int:
    import trio

    return trio.run(command, options)
