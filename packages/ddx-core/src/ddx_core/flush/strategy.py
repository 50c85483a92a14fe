"""When to flush: what users write, and what it means for one invocation. Pure.

`end`               flush at the end of every invocation
`end,N`             flush at the end of every invocation, and every N ms within a long one
`periodically,N`    flush when N ms have passed since the last flush: at the start of an invocation (in parallel with the
                    function, waiting for it) and within a long one
`continuously,N`    the same, but nobody waits for the flush
`default`           `end` for a sandbox that is new or seldom asked, and in the background for a busy one
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from .cadence import Cadence

default_tick_ms: Final = 60_000
adapted_interval_ms: Final = 20_000
continuous_interval_ms: Final = 30_000
# A busy sandbox: its recent invocations came within this span, so another will come soon to carry the data out.
busy_span_ms: Final = 30_000
seldom_gap_ms: Final = 120_000
max_interval_ms: Final = 86_400_000


class StrategyKind(Enum):
    DEFAULT = "default"
    END = "end"
    PERIODICALLY = "periodically"
    CONTINUOUSLY = "continuously"


class Strategy(msgspec.Struct, frozen=True):
    """`interval_ms` is None where the text gave none."""

    kind: StrategyKind
    interval_ms: int | None = None

    def __str__(self) -> str:
        return self.kind.value if self.interval_ms is None else f"{self.kind.value},{self.interval_ms}"


default_strategy = Strategy(StrategyKind.DEFAULT)


class BadStrategy(ValueError):
    """The text is no strategy; its message says what is accepted."""


def parse_strategy(text: str) -> Strategy:
    """`periodically,20000` → Strategy. Letter case and white space do not matter. Raises BadStrategy."""
    name, comma, rest = text.strip().lower().partition(",")
    name = name.strip()
    if name in ("", "default") and not comma:
        return default_strategy
    try:
        kind = StrategyKind(name)
    except ValueError:
        raise BadStrategy("expected default, end, end,MS, periodically,MS or continuously,MS") from None
    if kind is StrategyKind.DEFAULT:
        raise BadStrategy("default takes no interval")
    if not comma:
        if kind is StrategyKind.END:
            return Strategy(kind)
        raise BadStrategy(f"{name} needs an interval in milliseconds: {name},MS")
    digits = rest.split(",", 1)[0].strip().removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20 or not 0 < int(digits) <= max_interval_ms:
        raise BadStrategy("the interval is a whole number of milliseconds from 1 to 86400000")
    return Strategy(kind, int(digits))


class Decision(Enum):
    """What to do about one invocation, decided when it begins."""

    AT_END = auto()
    """Wait until the runtime is done, flush, then ask for the next event."""
    NOW_AND_WAIT = auto()
    """Flush at once, in parallel with the function; then ask for the next event."""
    NOW_IN_BACKGROUND = auto()
    """Start a flush that nobody waits for and ask for the next event at once."""
    NOT_NOW = auto()
    """Ask for the next event at once."""


class FlushPlan(msgspec.Struct, frozen=True):
    """`tick_ms`: flush each time so long has passed within one invocation."""

    decision: Decision
    tick_ms: int


def plan(strategy: Strategy, cadence: Cadence, *, now_ms: int, last_flush_ms: int) -> FlushPlan:
    """What to do about the invocation that begins now (`cadence` already knows it). Times are of one monotonic scale."""
    kind, interval_ms = strategy.kind, strategy.interval_ms
    tick_ms = interval_ms or default_tick_ms
    if kind is StrategyKind.DEFAULT:
        kind, interval_ms = _adapt(cadence), adapted_interval_ms
    if kind is StrategyKind.END:
        return FlushPlan(Decision.AT_END, tick_ms)
    if now_ms - last_flush_ms < (interval_ms or 0):
        return FlushPlan(Decision.NOT_NOW, tick_ms)
    if kind is StrategyKind.PERIODICALLY:
        return FlushPlan(Decision.NOW_AND_WAIT, tick_ms)
    return FlushPlan(Decision.NOW_IN_BACKGROUND, tick_ms)


def _adapt(cadence: Cadence) -> StrategyKind:
    span_ms = cadence.span_ms()
    if span_ms is None or cadence.mean_gap_ms() >= seldom_gap_ms:
        return StrategyKind.END
    return StrategyKind.CONTINUOUSLY if span_ms < busy_span_ms else StrategyKind.PERIODICALLY


def for_managed_instances(strategy: Strategy) -> Strategy:
    """Many invocations at once leave no end to flush at: everything becomes continuous."""
    if strategy.kind is StrategyKind.CONTINUOUSLY:
        return strategy
    return Strategy(StrategyKind.CONTINUOUSLY, continuous_interval_ms)
