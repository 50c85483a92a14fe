"""Encoded items in, payloads out: items are held here, bounded in bytes, until arrays are made of them. Pure.

Rule of this file: every method is synchronous; `pack` moves items from the buffer to the outbox in one step.
"""

from __future__ import annotations

from collections.abc import Callable

from ddx_core.buffer import BoundedBuffer, BufferStatistics, WhenFull
from ddx_core.intake import Compressor, Fanout, Payload, decompress
from ddx_core.stats import Account

from . import encode
from .settings import LogsSettings


class LogStore:
    """First in, first out. When full the oldest are dropped, counted on `account` as `buffer_full`.

    `on_filling` is called whenever something was added and more than half of the room is taken.
    """

    def __init__(
        self,
        settings: LogsSettings,
        *,
        account: Account,
        fanout: Fanout,
        compressor: Compressor,
        on_filling: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._buffer: BoundedBuffer[bytes] = BoundedBuffer(
            account, max_bytes=settings.max_bytes, when_full=WhenFull.DROP_OLDEST
        )
        self._filling_at = settings.max_bytes // 2
        self._on_filling = on_filling
        self._compressor = compressor
        self._fanout = fanout
        fanout.split_with(self._split)

    def __len__(self) -> int:
        """How many items no payload has been made of."""
        return len(self._buffer)

    @property
    def has_full_payload(self) -> bool:
        held = self._buffer.statistics()
        return held.entries >= self._settings.max_batch_items or held.bytes >= self._settings.max_batch_bytes

    @property
    def is_relieved(self) -> bool:
        """No more than a quarter of the room is taken: what was filling is not any more."""
        return self._buffer.waiting_bytes <= self._settings.max_bytes // 4

    def put(self, item: bytes) -> None:
        # With its comma, so that the sizes of a lease add up to those of the array.
        self._buffer.put(item, size=len(item) + 1)
        if self._buffer.waiting_bytes > self._filling_at:
            self._on_filling()

    def pack(self) -> None:
        """Make one payload of the oldest items, and put it into the outbox."""
        settings = self._settings
        # The array is the items with a comma each, less one comma, plus the brackets.
        max_bytes = settings.max_batch_bytes - encode.array_framing + 1
        with self._buffer.lease(max_bytes=max_bytes, max_entries=settings.max_batch_items) as entries:
            self._fanout.put(self._payload(encode.array([entry.value for entry in entries]), len(entries)))

    def statistics(self) -> BufferStatistics:
        return self._buffer.statistics()

    def _payload(self, body: bytes, items: int) -> Payload:
        coded, encoding = self._compressor.compress(body)
        return Payload(
            path=encode.path,
            content_type=encode.content_type,
            body=coded,
            items=items,
            encoding=encoding,
            headers=encode.headers,
        )

    def _split(self, payload: Payload) -> list[Payload]:
        try:
            parts = encode.split_array(decompress(payload.body, payload.encoding))
        except ValueError:
            return []
        return [self._payload(body, items) for body, items in parts]
