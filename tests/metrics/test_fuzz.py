"""A short run of the fuzzer, by another seed for each lot; the long one is `python -m benchmarks.fuzz_dogstatsd 10000000`."""

from __future__ import annotations

import pytest

from benchmarks.fuzz_dogstatsd import fuzz


@pytest.mark.parametrize("seed", range(3))
def test_mangled_lines_raise_nothing_and_cost_no_neighbour(seed: int) -> None:
    done = fuzz(6_000, seed)
    assert done["lines"] >= 6_000
    assert {"malformed", "filtered", "not_finite", "too_many_tags"} <= done.keys()
