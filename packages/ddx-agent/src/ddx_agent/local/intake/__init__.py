"""The embedded intake: takes what Datadog's intakes take from an agent, keeps it in SQLite, answers as scripted.

async with open_intake(script={"logs": [503, "reset"]}) as intake:
    ...  # point an agent at intake.url
    with trio.fail_after(5):
        await intake.wait_for(lambda store: store.logs(contains="hello"))
"""

from .items import (
    Event,
    Log,
    Metric,
    Origin,
    Raw,
    ReceivedRequest,
    Repeat,
    Resource,
    ServiceCheck,
    Span,
    SpanEvent,
    SpanLink,
    StatsGroup,
    Totals,
    TracePayload,
)
from .script import (
    Action,
    Answer,
    Script,
    ScriptChange,
    ScriptLike,
    close,
    garbage,
    hang,
    normal,
    read_change,
    reset,
    reset_after_read,
    slow,
    status,
    truncated,
)
from .server import Intake, open_intake
from .sketches import Sketch, StatsSketch
from .store import Store, StoreError, StoreLimits

__all__ = [
    "Action",
    "Answer",
    "Event",
    "Intake",
    "Log",
    "Metric",
    "Origin",
    "Raw",
    "ReceivedRequest",
    "Repeat",
    "Resource",
    "Script",
    "ScriptChange",
    "ScriptLike",
    "ServiceCheck",
    "Sketch",
    "Span",
    "SpanEvent",
    "SpanLink",
    "StatsGroup",
    "StatsSketch",
    "Store",
    "StoreError",
    "StoreLimits",
    "Totals",
    "TracePayload",
    "close",
    "garbage",
    "hang",
    "normal",
    "open_intake",
    "read_change",
    "reset",
    "reset_after_read",
    "slow",
    "status",
    "truncated",
]
