"""What the logs pipeline can be told. The values here are the documented defaults."""

from __future__ import annotations

from enum import Enum

import msgspec

from .rules import Rule


class OwnLines(Enum):
    """Which of the agent's own log lines are shipped when the platform hands them back as an extension's output.

    DEBUG and TRACE never are: at those levels shipping a line writes further lines. What is left out is counted as an
    intended drop, `own_line`.
    """

    NONE = "none"
    WARNINGS = "warnings"
    """WARN and ERROR."""
    INFO = "info"
    """WARN, ERROR and INFO."""


class LogsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are in bytes.

    `max_bytes` bounds the encoded items that wait for a flush; `max_waiting_bytes` and `max_waiting_items` bound the
    records that wait for their request id. Beyond either the oldest are dropped, counted as `buffer_full` and
    `waiting_full`. Lines of durable functions that wait for their execution have the same bounds once more; beyond them
    they go out without it.
    """

    enabled: bool = True
    managed_instances: bool = False
    """Lambda Managed Instances: invocations run at the same time, so a line has the request id that it names itself, or none."""
    platform_lines: bool = True
    """Whether the platform's own events (START, END, REPORT, …) become lines; what they tell of request ids is used anyway."""
    ship_own_lines: OwnLines = OwnLines.WARNINGS
    rules: tuple[Rule, ...] = ()
    """Applied in this order to the text of every line. What they leave out is counted as an intended drop, `filtered`."""
    durable_invocations: int = 0
    """Of how many invocations the lines may wait for the durable execution they belong to; 0 takes it from no span."""
    reads_more_levels: bool = False
    """Take the status from numeric levels, from `severity` and the like, and from the head of plain lines as well."""
    max_bytes: int = 32 << 20
    max_waiting_bytes: int = 4 << 20
    max_waiting_items: int = 10_000
    # The intake's limits (Datadog API reference, "Send logs"); MB there is read as 2^20, as the vendor's agents do.
    max_item_bytes: int = 1 << 20
    max_batch_bytes: int = 5 << 20
    max_batch_items: int = 1000
