"""Trace statistics. Pure."""

from .payload import (
    ClientStats,
    StatsBucket,
    StatsGroup,
    decode_client_stats,
    encode_client_stats,
    encode_stats_payload,
)
from .store import StatsStore

__all__ = [
    "ClientStats",
    "StatsBucket",
    "StatsGroup",
    "StatsStore",
    "decode_client_stats",
    "encode_client_stats",
    "encode_stats_payload",
]
