"""One command for everything that docs/performance.md reports.

    uv run --group bench python -m benchmarks            measure all, a few minutes
    uv run --group bench python -m benchmarks --write    and put the numbers into docs/performance.md

Without datadog-serverless-compat, which the group `bench` brings, ddx is measured alone. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    bench_cold_start,
    bench_configuration,
    bench_dogstatsd,
    bench_invocations,
    bench_logs,
    bench_traces,
)
from benchmarks.peer import find_peer
from benchmarks.processes import machine_time
from benchmarks.table import Options, Table, as_markdown, as_text

benchmarks: dict[str, Callable[[Options], list[Table]]] = {
    "cold-start": bench_cold_start.tables,
    "configuration": bench_configuration.tables,
    "invocations": bench_invocations.tables,
    "dogstatsd": bench_dogstatsd.tables,
    "traces": bench_traces.tables,
    "logs": bench_logs.tables,
}
document = Path(__file__).parent.parent / "docs" / "performance.md"
first_marker = "<!-- numbers: python -m benchmarks --write puts them here -->"
last_marker = "<!-- end of numbers -->"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=benchmarks, metavar="NAME", help=", ".join(benchmarks))
    parser.add_argument("--quick", action="store_true", help="run every line, measure nothing that would hold")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--write", action="store_true", help=f"rewrite the numbers of docs/{document.name}")
    chosen = parser.parse_args(arguments)
    if chosen.write and (chosen.quick or chosen.only):
        parser.error("--write wants everything measured: leave --quick and --only out")
    peer, about_peer = find_peer()
    machine = f"{about_machine()}; {about_peer}"
    sys.stderr.write(f"{machine}\n")
    options = Options(quick=chosen.quick, peer=peer)
    tables: list[Table] = []
    for name in chosen.only or benchmarks:
        before = machine_time()
        found = benchmarks[name](options)
        taken_percent = machine_time().taken_percent(before)
        for table in found:
            tables.append(replace(table, taken_percent=taken_percent))
            if not chosen.json:
                print(as_text(tables[-1]), end="\n\n", flush=True)
    if chosen.json:
        print(json.dumps({"machine": machine, "tables": [table.as_json() for table in tables]}, ensure_ascii=False))
    if chosen.write:
        write(machine, tables)
    return 0


def about_machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores ({model}, {platform.machine()}), Python {platform.python_version()}"


def write(machine: str, tables: Sequence[Table]) -> None:
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(first_marker)
    _, found, after = rest.partition(last_marker)
    if not found:
        raise SystemExit(f"{document} has lost its markers: {first_marker} … {last_marker}")
    numbers = "\n\n".join([f"Measured on {machine}.", *map(as_markdown, tables)])
    document.write_text(f"{before}{first_marker}\n\n{numbers}\n\n{last_marker}{after}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
