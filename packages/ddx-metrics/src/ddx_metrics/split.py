"""A payload that an intake finds too large (413) → two. Pure.

How many samples a series was made of is not written in a payload: each half counts as many as its share of the series.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ddx_core.intake import Compressor, Payload, decompress
from ddx_core.proto.fields import fields_of, middle

from .events import checks_path, events_path, join_events

_series = msgspec.json.Decoder(dict[str, list[msgspec.Raw]])
_checks = msgspec.json.Decoder(list[msgspec.Raw])


class _Events(msgspec.Struct):
    events: dict[str, list[msgspec.Raw]]


_events = msgspec.json.Decoder(_Events)


def split_payload(payload: Payload, compressor: Compressor) -> list[Payload]:
    """Nothing when it holds one series, sketch, event or check, or one sample, or is none of ours."""
    try:
        body = decompress(payload.body, payload.encoding)
        pieces, size_of, join = _take_apart(payload, body)
    except (ValueError, KeyError, msgspec.MsgspecError):
        return []
    if len(pieces) < 2 or payload.items < 2:
        return []
    count = middle([size_of(piece) for piece in pieces])
    first_items = min(max(1, round(payload.items * count / len(pieces))), payload.items - 1)
    return [
        _with_body(payload, join(half), items, compressor)
        for half, items in ((pieces[:count], first_items), (pieces[count:], payload.items - first_items))
    ]


def _take_apart(payload: Payload, body: bytes) -> tuple[list[Any], Callable[[Any], int], Callable[[list[Any]], bytes]]:
    """The pieces, what tells the size of one, and what makes a body of some."""
    if payload.path == events_path:
        events = [(source, event) for source, several in _events.decode(body).events.items() for event in several]
        return events, lambda piece: len(bytes(piece[1])), join_events
    if payload.path == checks_path:
        checks = [bytes(each) for each in _checks.decode(body)]
        return checks, len, lambda some: b"[" + b",".join(some) + b"]"
    if payload.content_type == "application/json":
        series = [bytes(each) for each in _series.decode(body)["series"]]
        return series, len, lambda some: b'{"series":[' + b",".join(some) + b"]}"
    return [field for _, _, field in fields_of(body)], len, b"".join


def _with_body(payload: Payload, body: bytes, items: int, compressor: Compressor) -> Payload:
    packed, encoding = compressor.compress(body)
    return msgspec.structs.replace(payload, body=packed, encoding=encoding, items=items)
