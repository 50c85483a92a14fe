"""Delivery to intakes: retrying, dual-shipping, bounded. Runs on Trio and on asyncio."""

from .attempt import ClientSettings, Doubt
from .client import IntakeClient, Outcome, Sent
from .compress import Coding, Compressor
from .fanout import EndpointQueue, Fanout, SpooledPayload, open_fanout
from .network import Proxy, ProxyRules, TlsPolicy
from .payload import ApiKey, ApiKeySource, Endpoint, Payload, StaticKey
from .retry import RetryPolicy

__all__ = [
    "ApiKey",
    "ApiKeySource",
    "ClientSettings",
    "Coding",
    "Compressor",
    "Doubt",
    "Endpoint",
    "EndpointQueue",
    "Fanout",
    "IntakeClient",
    "Outcome",
    "Payload",
    "Proxy",
    "ProxyRules",
    "RetryPolicy",
    "Sent",
    "SpooledPayload",
    "StaticKey",
    "TlsPolicy",
    "open_fanout",
]
