"""Tracers' statistics in, payloads out. Synchronous throughout, like the store of spans. Pure."""

from __future__ import annotations

from typing import Final

from ddx_core.buffer import BoundedBuffer, WhenFull
from ddx_core.intake import Coding, Compressor, Fanout, Payload
from ddx_core.stats import Account

from ..settings import TracesSettings
from .payload import ClientStats, encode_client_stats, encode_stats_payload

path: Final = "/api/v0.2/stats"
content_type: Final = "application/msgpack"


class StatsStore:
    """Holds tracers' statistics, encoded, until payloads are made of them. An item is a group."""

    def __init__(self, settings: TracesSettings, *, account: Account, fanout: Fanout) -> None:
        self._settings = settings
        self._account = account
        self._fanout = fanout
        # The stats intake is told gzip, at the fastest level, by all of the vendor's agents.
        self._compressor = Compressor(Coding.GZIP, 1)
        self._buffer: BoundedBuffer[bytes] = BoundedBuffer(
            account, max_bytes=settings.max_stats_buffer_bytes, when_full=WhenFull.REFUSE
        )

    def __len__(self) -> int:
        """From how many requests statistics are held."""
        return len(self._buffer)

    def add(self, stats: ClientStats, size: int) -> bool:
        """Take in one tracer's statistics; `size` as they came. False: no room, and nothing was taken."""
        # The backend attributes a host by itself; the vendor's extension sends none.
        stats.hostname = ""
        encoded = encode_client_stats(stats)
        groups = stats.groups
        if not self._buffer.put(encoded, size=len(encoded), items=groups):
            return False
        self._account.accept(groups, size)
        return True

    def refuse(self, size: int) -> None:
        """Count a request of which nothing could be read."""
        self._account.refuse("malformed", 0, size)

    def pack(self) -> int:
        """Make one payload of what has been held longest and put it on the outbox. Returns from how many requests."""
        with self._buffer.lease(max_bytes=self._settings.max_stats_payload_bytes) as entries:
            payload = encode_stats_payload([entry.value for entry in entries], client_computed=True)
            body, encoding = self._compressor.compress(payload)
            self._fanout.put(
                Payload(
                    path=path,
                    content_type=content_type,
                    body=body,
                    items=sum(entry.items for entry in entries),
                    encoding=encoding,
                )
            )
            return len(entries)
