"""Events and service checks: what DogStatsD clients send besides metrics, parsed, held and encoded."""

from .event import Event, ServiceCheck
from .outbox import EventOutbox, checks_path, events_path, join_events
from .parse import parse_event, parse_service_check

__all__ = [
    "Event",
    "EventOutbox",
    "ServiceCheck",
    "checks_path",
    "events_path",
    "join_events",
    "parse_event",
    "parse_service_check",
]
