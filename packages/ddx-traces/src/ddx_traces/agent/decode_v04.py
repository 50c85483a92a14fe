"""v0.4 traces: a MessagePack array of traces, each an array of spans, each a map. Pure.

Rule of this file: what is wrong inside a span costs that span; what is wrong around the spans refuses the request before any
of it was taken.
"""

from __future__ import annotations

import msgspec

from ddx_core.errors import MalformedInput

from ..messagepack import undecodable
from ..parts import ReadSpans, Traces, open_traces
from ..span import Span
from .lenient import read_span

_strict = msgspec.msgpack.Decoder(Span)


def decode_v04(body: bytes) -> Traces:
    """The traces of a request, decoded as they are iterated over. Raises MalformedInput at once or not at all."""
    return open_traces(body, read_spans)


def read_spans(elements: list[msgspec.Raw]) -> ReadSpans:
    decode = _strict.decode
    spans: list[Span] = []
    malformed = 0
    for element in elements:
        try:
            spans.append(decode(element))
        except undecodable:
            try:
                spans.append(read_span(element))
            except MalformedInput:
                malformed += 1
    return ReadSpans(spans, malformed)
