"""The Lambda control interfaces, seen from an extension: Extensions API and Telemetry API. Their events: ddx_core.events."""

from .extensions import ExtensionsClient, Registration, read_registration
from .telemetry import Buffering, TelemetryReceiver, schema_versions, subscribe

__all__ = [
    "Buffering",
    "ExtensionsClient",
    "Registration",
    "TelemetryReceiver",
    "read_registration",
    "schema_versions",
    "subscribe",
]
