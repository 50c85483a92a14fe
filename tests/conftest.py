"""For all tests: hypothesis and the garbage collector.

Hypothesis takes the same examples in every run, few enough for a suite that is run often. `HYPOTHESIS_PROFILE=thorough` looks
for new ones, many more of them.
"""

from __future__ import annotations

import gc
import os

from hypothesis import settings

settings.register_profile("suite", max_examples=20, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_collection_finish() -> None:
    """What all modules and the list of tests hold lives to the end: no full collection within a test looks at it again."""
    gc.collect()
    gc.freeze()
