"""Every test of logs begins with no memory of log lines written before, which would be held back as repeats."""

from __future__ import annotations

import pytest

from ddx_core import log


@pytest.fixture(autouse=True)
def no_lines_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_last", {})
