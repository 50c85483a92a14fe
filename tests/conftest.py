"""For all tests: hypothesis, the garbage collector, and a clock.

Hypothesis takes the same examples in every run, few enough for a suite that is run often. `HYPOTHESIS_PROFILE=thorough` looks
for new ones, many more of them.
"""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings
from trio.testing import MockClock

settings.register_profile("suite", max_examples=20, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_collection_finish() -> None:
    """What all modules and the list of tests hold lives to the end: no full collection within a test looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def standing_clock() -> MockClock:
    """Trio's time stands still, whatever the sockets of the test do meanwhile, and goes on only by `passing`.

    Should nothing at all happen for some real seconds, it jumps: a test that hangs ends by its own deadlines.
    """
    return MockClock(autojump_threshold=5.0)
