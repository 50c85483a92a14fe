"""A payload that an intake finds too large (413) → two. Pure.

How many samples a series was made of is not written in a payload: each half counts as many as its share of the series.
"""

from __future__ import annotations

import msgspec

from ddx_core.intake import Compressor, Payload, decompress
from ddx_core.proto.fields import fields_of, middle

_series = msgspec.json.Decoder(dict[str, list[msgspec.Raw]])


def split_payload(payload: Payload, compressor: Compressor) -> list[Payload]:
    """Nothing when it holds one series or sketch, or one sample, or is none of ours."""
    try:
        body = decompress(payload.body, payload.encoding)
        is_json = payload.content_type == "application/json"
        if is_json:
            pieces = [bytes(each) for each in _series.decode(body)["series"]]
        else:
            pieces = [field for _, _, field in fields_of(body)]
    except (ValueError, KeyError):
        return []
    if len(pieces) < 2 or payload.items < 2:
        return []
    count = middle([len(piece) for piece in pieces])
    first_items = min(max(1, round(payload.items * count / len(pieces))), payload.items - 1)
    return [
        _with_body(payload, _join(half, is_json=is_json), items, compressor)
        for half, items in ((pieces[:count], first_items), (pieces[count:], payload.items - first_items))
    ]


def _join(pieces: list[bytes], *, is_json: bool) -> bytes:
    return b'{"series":[' + b",".join(pieces) + b"]}" if is_json else b"".join(pieces)


def _with_body(payload: Payload, body: bytes, items: int, compressor: Compressor) -> Payload:
    packed, encoding = compressor.compress(body)
    return msgspec.structs.replace(payload, body=packed, encoding=encoding, items=items)
