"""Bodies of Datadog's intakes into values. Nothing here is shared with the code that builds such bodies."""

from .body import decode_body
from .errors import DecodeError, TooLarge
from .events import decode_agent_events, decode_checks, decode_event
from .logs import decode_logs
from .metrics import decode_distribution_points, decode_series_v1, decode_series_v2, decode_sketches
from .stats import decode_client_stats, decode_stats
from .tracer import decode_traces_v04, decode_traces_v05
from .traces import count_spans, decode_traces

__all__ = [
    "DecodeError",
    "TooLarge",
    "count_spans",
    "decode_agent_events",
    "decode_body",
    "decode_checks",
    "decode_client_stats",
    "decode_distribution_points",
    "decode_event",
    "decode_logs",
    "decode_series_v1",
    "decode_series_v2",
    "decode_sketches",
    "decode_stats",
    "decode_traces",
    "decode_traces_v04",
    "decode_traces_v05",
]
