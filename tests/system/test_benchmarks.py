"""The benchmarks run: they cannot rot unseen. What they measure is nobody's assertion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

root = Path(__file__).parent.parent.parent


def test_the_benchmark_of_the_extension_prints_its_table() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--no-peer", "--only", "extension"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=120)
    for row in ("exec to register", "exec to first next", "agent RSS", "added after the response"):
        assert row in done.stdout
