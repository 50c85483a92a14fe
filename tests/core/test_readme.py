"""The README's example runs as it is printed, against an intake on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import zstandard

from tests.support.intake import ScriptedIntake, intake_in_a_thread

readme = Path(__file__).parents[2] / "packages" / "ddx-core" / "README.md"


def test_the_readmes_example_runs_as_printed() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    first, second = ScriptedIntake([503]), ScriptedIntake(otherwise=403)
    with intake_in_a_thread(first, second):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            env={**os.environ, "DD_API_KEY": "k", "LOGS_URL": first.url, "SECOND_LOGS_URL": second.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout.splitlines() == [
        "logs delivered 2 held 0 closes True",
        "logs@eu delivered 0 held 0 closes True",
    ], done.stderr
    assert zstandard.ZstdDecompressor().decompress(first.bodies[-1]).startswith(b'[{"message": "hello"}')
