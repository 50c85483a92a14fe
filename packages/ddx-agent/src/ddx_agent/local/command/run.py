"""`ddx local FOLDER`: a function, the extension and the embedded intake on this machine, and an account of what was sent.

Plays the folder's sample events with the sandbox frozen in between, shuts the sandbox down, and exits 0 when every
invocation ended as its sample says and the accounts close. `--serve` keeps it up for invocations from outside instead.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import deque
from collections.abc import Sequence

import msgspec
import trio

from ddx_core.errors import ConfigError

from ..function import Function, Sample
from ..platform.opening import our_extension_name
from ..platform.platform import Platform
from ..ports.extension import PortsTaken, effective_ports
from ..report.played import Played, played
from ..report.report import Report, make_report
from ..wiring import open_local
from .options import chosen_extension, chosen_function, default_port
from .output import Output

max_extension_lines = 50


async def run_local(args: argparse.Namespace) -> int:
    """The exit code: 0 when all is well, 1 when an outcome or the accounts are not, 2 when it could not start.

    130 when it was interrupted before all events had been played.
    """
    output = Output(as_json=args.json)
    try:
        report, all_played = await _run(args, chosen_function(args), chosen_extension(args), output)
    except PortsTaken as error:
        sys.stderr.write(f"ddx local: {error}. {_ports_advice}\n")
        return 2
    except ConfigError as error:
        sys.stderr.write(f"ddx local: {error}\n")
        return 2
    except OSError as error:
        file = "" if error.filename is None else f"{error.filename}: "
        sys.stderr.write(f"ddx local: {file}{error.strerror or error}\n")
        return 2
    output.report(report)
    if not all_played:
        return 130
    return 0 if report.ok else 1


_interrupted = "\nddx local: interrupted; an invocation that runs is seen to its end. Ctrl-C again stops at once.\n"

_ports_advice = (
    "That process would get what the function sends. Stop it (another `ddx local`, a Datadog Agent?), run the function "
    'alone with --no-extension, or move the extension (docs/local.md, "The command").'
)


async def _run(
    args: argparse.Namespace, function: Function, command: Sequence[str] | None, output: Output
) -> tuple[Report, bool]:
    """What came of it, and whether all was played that was to be; `--serve` has no end of its own to miss."""
    invocations: list[Played] = []
    said: deque[str] = deque(maxlen=max_extension_lines)
    all_played = args.serve

    def on_line(source: str, line: str) -> None:
        if source not in ("function", "platform"):
            said.append(line)
        if args.serve:
            output.line(source, line)

    async with open_local(
        function,
        extension_command=command,
        extension_name=our_extension_name if args.extension is None else None,
        ports=effective_ports(function.environment),
        port=args.port if args.port is not None else (default_port if args.serve else 0),
        intake_port=args.intake_port,
        freeze=not args.no_freeze,
        cpu_share=not args.no_cpu_share,
        on_line=on_line,
    ) as local:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
            if args.serve:
                output.how_to_invoke(local)
                await trio.sleep_forever()
            await _play(local.platform, args, invocations, output)
            all_played = True
            nursery.cancel_scope.cancel("all events have been played")
        accounts = await local.finish()
        platform = local.platform
        report = make_report(
            function,
            extension=command,
            cpu_share=platform.cpu_share,
            cpu_share_unavailable=platform.cpu_share_unavailable,
            invocations=invocations,
            lives=platform.life_ends,
            store=local.intake.store,
            accounts=accounts,
            extension_output=tuple(said),
        )
    return report, all_played


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            sys.stderr.write(_interrupted)
            scope.cancel("interrupted")
            return


async def _play(platform: Platform, args: argparse.Namespace, invocations: list[Played], output: Output) -> None:
    """Invoke with each sample, `--repeat` times; `invocations` grows, so that what was played stands when it is cancelled."""
    samples = platform.function.samples or (Sample(name="an empty event", payload=b"{}"),)
    for turn in range(args.repeat):
        for sample in samples:
            if invocations and args.keep_frozen_ms:
                await trio.sleep(args.keep_frozen_ms / 1000)
            each = played(sample, await platform.invoke(payload=sample.payload))
            if turn:
                each = msgspec.structs.replace(each, name=f"{each.name} ({turn + 1})")
            invocations.append(each)
            if len(invocations) == 1:
                output.heading(platform)
            output.invocation(each)
