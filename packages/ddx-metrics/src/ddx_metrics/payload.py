"""PayloadBuilder: serialised pieces → payloads, within the intake's limits. Pure.

Rules of this file:
- A payload is its pieces joined. (Messages of repeated fields may be concatenated, which is what protobuf calls merging.)
- A piece carries the number of samples it was made of, so that a payload knows how many it delivers.
- Payloads are closed early enough that joining and compressing one takes a few milliseconds.

Limits: the Agent's (series 512,000 bytes compressed and 5,242,880 as they are, sketches 2,621,440 and 4,194,304).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ddx_core import log
from ddx_core.intake import Compressor, Payload
from ddx_core.stats import Account, Amount

max_entries: Final = 1_000
# Below every limit even where nothing can be compressed, and compressed in two to three milliseconds.
max_bytes: Final = 500_000


class PayloadForm(msgspec.Struct, frozen=True):
    """How pieces become the body of one kind of payload, and how large the intake lets it be."""

    path: str
    content_type: str
    max_body: int
    max_compressed: int
    before: bytes = b""
    between: bytes = b""
    after: bytes = b""


_protobuf: Final = "application/x-protobuf"
series_path: Final = "/api/v2/series"
sketches_path: Final = "/api/beta/sketches"
series_protobuf: Final = PayloadForm(series_path, _protobuf, 5_242_880, 512_000)
series_json: Final = PayloadForm(series_path, "application/json", 5_242_880, 512_000, b'{"series":[', b",", b"]}")
sketches_protobuf: Final = PayloadForm(sketches_path, _protobuf, 4_194_304, 2_621_440)

PutPayload = Callable[[Payload], None]


class PayloadBuilder:
    """Collects pieces and puts a payload whenever one is full, and when told to."""

    def __init__(
        self,
        form: PayloadForm,
        compressor: Compressor,
        put: PutPayload,
        account: Account,
        *,
        max_entries: int = max_entries,
        max_bytes: int = max_bytes,
    ) -> None:
        self._form = form
        self._compressor = compressor
        self._put = put
        self._account = account
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._entries = 0
        self._size = 0
        self._samples = 0
        account.held_by(self._held)

    def add(self, piece: bytes, *, samples: int, entries: int = 1) -> None:
        """`entries` is the number of series or sketches in the piece. A piece too large for any payload goes alone."""
        if self._entries + entries > self._max_entries or self._size + len(piece) >= self._max_bytes:
            self.close()
        self._pieces.append(piece)
        self._entries += entries
        self._size += len(piece)
        self._samples += samples

    def close(self) -> None:
        """Put what there is, if anything."""
        if not self._pieces:
            return
        form, samples = self._form, self._samples
        body = form.before + form.between.join(self._pieces) + form.after
        self._pieces, self._entries, self._size, self._samples = [], 0, 0, 0
        if len(body) <= form.max_body:
            packed, encoding = self._compressor.compress(body)
            if len(packed) <= form.max_compressed:
                self._put(
                    Payload(
                        path=form.path, content_type=form.content_type, body=packed, items=samples, encoding=encoding
                    )
                )
                return
        log.warning("metrics_payload_too_large", path=form.path, bytes=len(body), samples=samples)
        self._account.drop("too_large", samples, len(body))

    def _held(self) -> Amount:
        return Amount(self._samples, self._size)
