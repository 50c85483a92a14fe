"""The other intakes that libraries reach through the trace agent's port: profiles, LLM observability, debugger, and more."""

from .forwarding import Forwarding, NotForwardable
from .intakes import Outbox, ProxiedIntakes, ProxySettings

__all__ = ["Forwarding", "NotForwardable", "Outbox", "ProxiedIntakes", "ProxySettings"]
