"""The package's README tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

readme = Path(__file__).parents[2] / "packages" / "ddx-metrics" / "README.md"


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, str(readme), "exec"), {})
    assert set(capsys.readouterr().out.splitlines()) == {
        "orders ('shop:a',) 5.0", "latency p50 9.0", "7 samples",
    }  # fmt: skip
