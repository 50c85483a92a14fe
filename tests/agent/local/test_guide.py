"""The example of docs/local.md runs as it is printed, in a folder of its own, with pytest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

guide = Path(__file__).parents[3] / "docs" / "local.md"


@pytest.mark.system
def test_the_guides_example_passes_as_printed(tmp_path: Path) -> None:
    files = re.findall(
        r"<!-- tested: (\S+) -->\n```python\n(.*?)```", guide.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert [name for name, _ in files] == ["tested/handler.py", "test_orders.py"]
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
