"""What every test of core shares."""

from __future__ import annotations

import pytest

from ddx_core import log


@pytest.fixture(autouse=True)
def no_lines_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that an earlier test has written are no repeats in this one."""
    monkeypatch.setattr(log, "_last", {})


@pytest.fixture(params=["trio", "asyncio"])
def backend(request: pytest.FixtureRequest) -> str:
    """For what runs on both event loops."""
    return request.param
