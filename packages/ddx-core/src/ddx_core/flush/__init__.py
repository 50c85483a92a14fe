"""When to flush, and the flush of all signals together."""

from .cadence import Cadence
from .flush_all import FlushResult, flush_all
from .strategy import (
    BadStrategy,
    Decision,
    FlushPlan,
    Strategy,
    StrategyKind,
    default_strategy,
    for_managed_instances,
    parse_strategy,
    plan,
)

__all__ = [
    "BadStrategy",
    "Cadence",
    "Decision",
    "FlushPlan",
    "FlushResult",
    "Strategy",
    "StrategyKind",
    "default_strategy",
    "flush_all",
    "for_managed_instances",
    "parse_strategy",
    "plan",
]
