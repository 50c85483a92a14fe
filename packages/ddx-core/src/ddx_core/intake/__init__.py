"""Delivery to intakes: retrying, dual-shipping, bounded. Runs on Trio and on asyncio."""

from .client import Carrier, IntakeClient, Outcome, Sent
from .compress import Coding, Compressor, decompress
from .connections import ClientSettings, load_httpx
from .endpoint_queue import EndpointQueue, Lane, Split, SpooledPayload, last_grace
from .fanout import Fanout, open_fanout
from .network import Proxy, ProxyRules, TlsPolicy, parse_no_proxy
from .payload import ApiKey, ApiKeySource, Endpoint, Payload, StaticKey
from .progress import Doubt
from .retry import RetryPolicy

__all__ = [
    "ApiKey",
    "ApiKeySource",
    "Carrier",
    "ClientSettings",
    "Coding",
    "Compressor",
    "Doubt",
    "Endpoint",
    "EndpointQueue",
    "Fanout",
    "IntakeClient",
    "Lane",
    "Outcome",
    "Payload",
    "Proxy",
    "ProxyRules",
    "RetryPolicy",
    "Sent",
    "Split",
    "SpooledPayload",
    "StaticKey",
    "TlsPolicy",
    "decompress",
    "last_grace",
    "load_httpx",
    "open_fanout",
    "parse_no_proxy",
]
