"""Masking under its limit of time. What patterns and placeholders mean is tested with the rules of logs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from ddx_core.regex import Matcher


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that is so much later at every look."""
    ticks = count()
    return lambda: next(ticks) * seconds


large = b"a" * (1 << 16)


def test_text_is_masked_to_its_end_while_there_is_time() -> None:
    assert Matcher("a", "x", cpu_time=ticking(0.01)).mask(large) == (b"x" * len(large), True)


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_text_ends_after_the_last_match_when_time_is_up(seconds: float) -> None:
    masked, is_whole = Matcher("a", "x", cpu_time=ticking(seconds)).mask(large)
    assert not is_whole
    assert 0 < len(masked) < len(large)
    assert masked == b"x" * len(masked)


def test_replaced_text_says_that_its_end_is_missing() -> None:
    replaced = Matcher("a", "x", cpu_time=ticking(3.0)).replace(large.decode())
    assert replaced == "x" * (len(replaced) - 3) + "..."


def test_clock_is_not_looked_at_for_small_texts() -> None:
    def never() -> float:
        raise AssertionError("looked at")

    assert Matcher("a", "x", cpu_time=never).mask(b"a" * 10_000) == (b"x" * 10_000, True)
    assert Matcher("b", "x", cpu_time=never).mask(large) == (large, True)
