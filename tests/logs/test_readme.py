from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

readme = Path(__file__).parents[2] / "packages" / "ddx-logs" / "README.md"


def test_example_of_the_readme_is_true() -> None:
    code = readme.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    # A fresh interpreter, as its reader has.
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    plain, structured, body = run.stdout.splitlines()
    assert plain == "info cart 7 is ready ()"
    assert structured == """error {"level":"ERROR","message":"no such cart"} ('team:checkout',)"""
    first, second = json.loads(body)
    assert first["message"]["lambda"]["request_id"] == "a-request-id"
    assert second["ddtags"] == "env:dev,team:checkout"
