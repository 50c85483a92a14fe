"""All benchmarks in one run: `uv run --group bench python -m benchmarks`; `--write` puts the table into docs/performance.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import bench_dogstatsd, bench_extension, bench_logs, bench_traces

Results = Mapping[str, Mapping[str, float]]

document = Path(__file__).parent.parent / "docs" / "performance.md"
begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small loads: to see that everything runs")
    parser.add_argument("--only", choices=["extension", "logs", "dogstatsd", "traces"], action="append")
    parser.add_argument("--no-peer", action="store_true", help="leave datadog-serverless-compat out")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    quick, peer = options.quick, not options.no_peer
    parts: dict[str, Callable[[], Results]] = {
        "extension": lambda: bench_extension.run(starts=2 if quick else 10, count=10 if quick else 30),
        "logs": lambda: {"100,000 lines": bench_logs.run()},
        "dogstatsd": lambda: bench_dogstatsd.run(seconds=1 if quick else 5, peer=peer),
        "traces": lambda: bench_traces.run(spans=20_000 if quick else 200_000, peer=peer),
    }
    tables: list[str] = []
    for name in options.only or parts:
        print(f"## {name}", flush=True)
        results = parts[name]()
        table = render(results)
        print(table, flush=True)
        tables.append(f"### {name}\n\n{table}")
    if options.write:
        write("\n".join(tables))
    return 0


def render(results: Results) -> str:
    lines = ["| what | value |", "|---|---|"]
    for subject, values in results.items():
        if not values:
            lines.append(f"| {subject} | not installed |")
        lines.extend(f"| {subject}: {name} | {value:,.2f} |" for name, value in values.items())
    return "\n".join(lines) + "\n"


def write(tables: str) -> None:
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    document.write_text(f"{before}{begin}\n\n{machine}\n\n{tables}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
