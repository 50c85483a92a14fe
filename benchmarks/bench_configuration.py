"""What reading the settings adds to a start: imports and parsing, in an interpreter that has what the agent has by then."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import minimal_environment
from benchmarks.table import Options, Row, Table, percentile

script = """
import os, time, resource
import trio, msgspec
import ddx_core.flush, ddx_core.intake
def used():
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime
before = used()
from ddx_agent.config import load_config
imported = used()
loaded = load_config(os.environ)
print((imported - before) * 1e3, (used() - imported) * 1e3)
"""

many_settings = {
    "DD_API_KEY": "0" * 32,
    "DD_SITE": "datadoghq.eu",
    "DD_ENV": "prod",
    "DD_SERVICE": "orders",
    "DD_VERSION": "1.10",
    "DD_TAGS": ",".join(f"key{number}:value{number}" for number in range(20)),
    "DD_LOG_LEVEL": "warn",
    "DD_SERVERLESS_FLUSH_STRATEGY": "periodically,20000",
    "DD_ADDITIONAL_ENDPOINTS": json.dumps({"https://api.datadoghq.com": ["1" * 32, "2" * 32]}),
    "DD_PROXY_NO_PROXY": "10.0.0.0/8,.internal,169.254.169.254",
    "DD_FLUSH_TIMEOUT": "not a number",
}

file_text = """
site: us5.datadoghq.com
tags: [team:web, owner:me]
logs_config: {compression_level: 6}
apm_config: {compression_level: 6}
"""


def tables(options: Options) -> list[Table]:
    runs = options.pick(20, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "datadog.yaml"
        path.write_text(file_text)
        plain = [start({}) for _ in range(runs)]
        many = [start(many_settings) for _ in range(runs)]
        filed = [start({**many_settings, "DD_CONFIG_FILE": str(path)}) for _ in range(runs)]
    imports_ms = percentile([imported for imported, _ in plain], 0.5)
    return [
        Table(
            f"Configuration (medians of {runs})",
            [
                Row("imports for reading settings, CPU", "ms", imports_ms),
                Row("imports and reading, few settings, CPU", "ms", total(plain), target=60),
                Row("imports and reading, many settings, CPU", "ms", total(many), target=60),
                Row("imports and reading, many and a datadog.yaml, CPU", "ms", total(filed), target=60),
            ],
        )
    ]


def total(starts: list[tuple[float, float]]) -> float:
    return percentile([imported + read for imported, read in starts], 0.5)


def start(environ: dict[str, str]) -> tuple[float, float]:
    """CPU milliseconds for the imports and for reading, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", script], env=minimal_environment() | environ, capture_output=True, text=True, check=True
    )
    imported, read = done.stdout.split()
    return float(imported), float(read)
