"""When data leaves, and what it may cost."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting
from ddx_core.flush import Strategy, default_strategy


class Flushing(Section):
    title = "Flushing"

    strategy: Strategy = setting(
        "DD_SERVERLESS_FLUSH_STRATEGY", default=default_strategy, parser=parse.strategy,
        about="When data leaves: `default`, `end`, `end,MS`, `periodically,MS` or `continuously,MS`.",
    )  # fmt: skip
    max_added_s: float = setting(
        "DDX_MAX_ADDED_SECONDS", default=2.0, parser=parse.seconds(0, 900),
        about="Most seconds of billed time that a flush may add after the function's response; the rest is sent later.",
    )  # fmt: skip
