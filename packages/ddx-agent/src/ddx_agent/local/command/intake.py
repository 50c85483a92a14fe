"""`ddx intake`: the embedded intake by itself, so that any Datadog agent or tracer can be pointed at it.

Prints a line for each request, and the totals when it is interrupted. What comes from clients is printed without
control characters, since a terminal would obey them.
"""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import trio

from ddx_agent.standard_output import write_out
from ddx_core.errors import ConfigError

from ..intake import Intake, ReceivedRequest, ScriptChange, StoreError, StoreLimits, Totals, open_intake, read_change
from .forms import at_least_one, port_number

default_port: Final = 8127
"""Next to the ports of the agent itself, 8124 to 8126."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=default_port, help="default: %(default)s; 0 for any free one"
    )
    parser.add_argument(
        "--db", default=":memory:", metavar="FILE", help="SQLite file to keep what arrives in (default: memory)"
    )
    parser.add_argument(
        "--script",
        metavar="JSON",
        help='how to misbehave: \'{"logs": [503, "reset", {"slow": 2}, {"status": 429, "retry_after": 5}]}\', or @FILE; '
        "selectors are kinds of requests, paths, key:APIKEY and *",
    )
    parser.add_argument(
        "--rows", type=at_least_one, default=StoreLimits().rows, help="items to keep of each signal (%(default)s)"
    )
    parser.add_argument("--count-spans", action="store_true", help="count spans without reading them, for heavy loads")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")


async def run_intake(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. The exit code is 2 when it cannot start."""
    printer = _Printer(as_json=args.json)
    try:
        change = _read_script(args.script) if args.script else ScriptChange()
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with open_intake(
                args.host,
                args.port,
                db=args.db,
                keep_spans=not args.count_spans,
                limits=StoreLimits(rows=args.rows),
                on_request=printer.request,
            ) as intake:
                intake.change_script(change)
                printer.started(intake)
                async for _ in signals:
                    break
                printer.totals(intake.store.totals())
    except (ConfigError, StoreError) as error:
        sys.stderr.write(f"ddx intake: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"ddx intake: {error.strerror or error}\n")
        return 2
    return 0


def _read_script(text: str) -> ScriptChange:
    if not text.startswith("@"):
        return read_change(text)
    try:
        return read_change(Path(text[1:]).read_bytes())
    except OSError as error:
        raise ConfigError(f"--script {text}: {error.strerror or error}") from error


class _Printer:
    """Lines on standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def started(self, intake: Intake) -> None:
        if self._as_json:
            self._line(_json({"url": intake.url}))
            return
        settings = ("DD_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL", "DD_APM_DD_URL")
        self._line(f"Listening on {intake.url}, where a browser shows what arrives. To point an agent here:")
        self._line("  " + " ".join(f"{name}={intake.url}" for name in settings))

    def request(self, record: ReceivedRequest) -> None:
        self._line(_json(record) if self._as_json else describe_request(record))

    def totals(self, totals: Totals) -> None:
        self._line(_json({"totals": totals}) if self._as_json else "\n" + describe_totals(totals))

    def _line(self, text: str) -> None:
        write_out(text + "\n")


def describe_request(record: ReceivedRequest) -> str:
    """One line: `12:00:01.123  logs  202  12 items  3.4 kB (zstd 812 B)  POST /api/v2/logs`."""
    at = datetime.fromtimestamp(record.arrived_s).strftime("%H:%M:%S.%f")[:-3]
    size = _bytes(record.decoded_bytes if record.accepted else record.wire_bytes)
    if record.accepted and record.encoding != "identity":
        size += f" ({record.encoding} {_bytes(record.wire_bytes)})"
    status = "---" if record.status is None else str(record.status)
    line = f"{at}  {record.kind:<19} {status}  {record.items:>6} items  {size:<24} {record.method} {record.path}"
    notes = [record.answer] if record.answer != "normal" else []
    if record.error and not record.error.startswith("scripted"):
        notes.append(record.error)
    return printable(line + (f"  [{'; '.join(notes)}]" if notes else ""))


def describe_totals(totals: Totals) -> str:
    parts = [
        f"{totals.requests} requests ({totals.refused} refused)",
        f"{totals.logs} logs",
        f"{totals.series_points} series points",
        f"{totals.sketches} sketches of {totals.sketch_samples} samples",
        f"{totals.spans} spans",
        f"{totals.stats_groups} stats groups of {totals.stats_hits} hits",
        *([f"{totals.events} events"] if totals.events else []),
        *([f"{totals.service_checks} service checks"] if totals.service_checks else []),
        *(f"{count} {kind}" for kind, count in totals.raw.items()),
    ]
    if totals.not_kept:
        parts.append(f"{totals.not_kept} items only counted")
    return ", ".join(parts)


def printable(text: str) -> str:
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def _bytes(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
