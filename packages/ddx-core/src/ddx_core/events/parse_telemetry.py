"""A delivery of the Telemetry API, parsed event by event. Pure.

Rules: an event of an unknown type, or one that does not fit its type, costs that event alone and is counted. Nearly all
deliveries are read in one pass; what JSON does not allow is mended, as far as the line can still be shipped then.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeGuard, cast

import msgspec

from ..clock import parse_rfc3339_ns
from ..errors import MalformedInput
from .telemetry import LogLine, TelemetryEvent, platform_types


class TelemetryBatch(msgspec.Struct, kw_only=True):
    """One delivery. `skipped` counts the events left out, by reason: `unknown:<type>`, `malformed:<type>`, `malformed`."""

    events: list[TelemetryEvent]
    skipped: Counter[str]


class _Envelope(msgspec.Struct, gc=False):
    time: str
    type: str
    record: Any


class _RawEnvelope(msgspec.Struct, gc=False):
    time: str
    type: str
    record: msgspec.Raw


_platform_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    kind.type: msgspec.json.Decoder(kind) for kind in platform_types
}
# One pass over the whole delivery is several times cheaper than a decoder's call for every record.
_batch = msgspec.json.Decoder(list[_Envelope])
_loose_batch = msgspec.json.Decoder(list[msgspec.Raw])
_envelope = msgspec.json.Decoder(_Envelope)
_raw_envelope = msgspec.json.Decoder(_RawEnvelope)
_encode = msgspec.json.Encoder().encode
_exact_whole = 1 << 53
# What decoders raise: MsgspecError and UnicodeDecodeError are ValueErrors.
_unreadable = (ValueError, RecursionError)
_unreadable_event = (*_unreadable, MalformedInput)


def parse_telemetry(body: bytes) -> TelemetryBatch:
    """A delivery of the Telemetry API: a JSON array of events. Raises MalformedInput when it is no array at all."""
    batch = TelemetryBatch(events=[], skipped=Counter())
    try:
        envelopes = _batch.decode(body)
    except _unreadable:
        envelopes = _parse_loosely(body, batch.skipped)
    take = batch.events.append
    last_time, last_ns = "", 0
    for envelope in envelopes:
        kind, record = envelope.type, envelope.record
        try:
            if envelope.time != last_time:
                last_ns = parse_rfc3339_ns(envelope.time)
                last_time = envelope.time
            if kind == "function" or kind == "extension":
                from_extension = kind == "extension"
                if type(record) is str:
                    take(LogLine(time_ns=last_ns, from_extension=from_extension, text=record))
                elif _is_object(record):
                    take(LogLine(time_ns=last_ns, from_extension=from_extension, fields=record))
                else:
                    batch.skipped[f"malformed:{kind}"] += 1
            elif (decoder := _platform_decoders.get(kind)) is not None:
                take(msgspec.structs.replace(_decode_record(decoder, record), time_ns=last_ns))
            else:
                batch.skipped[f"unknown:{kind[:60]}"] += 1
        except _unreadable_event:
            last_time = ""
            batch.skipped[f"malformed:{kind[:60]}"] += 1
    return batch


def _decode_record(decoder: msgspec.json.Decoder[Any], record: Any) -> Any:
    """Raises ValueError. What is null or an empty object counts as absent, and whole numbers may be written as 128.0."""
    try:
        return decoder.decode(_encode(record))
    except msgspec.ValidationError:
        return decoder.decode(_encode(_plain(record)))


def _plain(value: Any) -> Any:
    if _is_object(value):
        members = ((key, _plain(member)) for key, member in value.items())
        return {key: member for key, member in members if member is not None and member != {}}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if type(value) is float and value.is_integer() and abs(value) < _exact_whole:
        return int(value)
    return value


def _is_object(record: Any) -> TypeGuard[dict[str, Any]]:
    return type(record) is dict


def _parse_loosely(body: bytes, skipped: Counter[str]) -> list[_Envelope]:
    """Event by event, and mended where that helps."""
    try:
        raws = _cut_batch(body)
    except _unreadable:
        try:
            raws = _cut_batch(_mend(body))
        except _unreadable as error:
            raise MalformedInput(f"telemetry is no JSON array of events: {error}") from error
    envelopes: list[_Envelope] = []
    for raw in raws:
        envelope = _read_envelope(bytes(raw))
        if envelope is None:
            skipped["malformed"] += 1
        else:
            envelopes.append(envelope)
    return envelopes


def _cut_batch(body: bytes) -> Sequence[msgspec.Raw | bytes]:
    try:
        return _loose_batch.decode(body)
    except RecursionError:
        # A record is nested too deeply for the decoder even to pass it over.
        from .cut_json import cut_json

        return cut_json(_mend(body))


def _read_envelope(raw: bytes) -> _Envelope | None:
    for candidate in (raw, _as_utf8(raw)):
        with suppress(*_unreadable):
            return _envelope.decode(candidate)
    # Numbers too large for a float, objects nested too deeply: of a line the text can be shipped all the same.
    with suppress(*_unreadable):
        loose = _read_raw_envelope(_as_utf8(raw))
        text = bytes(loose.record).decode()
        if text.startswith("{"):
            return _Envelope(loose.time, loose.type, text)
    return None


def _read_raw_envelope(raw: bytes) -> _RawEnvelope:
    try:
        return _raw_envelope.decode(raw)
    except RecursionError:
        from .cut_json import cut_json

        members = cut_json(raw)
        (record,) = [member for member in members if member.startswith(b'"record"')]
        others = [member for member in members if member is not record]
        envelope = _raw_envelope.decode(b"{%b}" % b",".join([*others, b'"record":null']))
        envelope.record = msgspec.Raw(record.partition(b":")[2].strip())
        return envelope


# A surrogate that lacks its other half; whole pairs and other escapes match too, so that their parts are not looked at.
_surrogates = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


# Within text JSON wants them escaped. Line ends may stand between the events, where an escape would be wrong.
_control_characters = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def _mend(body: bytes) -> bytes:
    """What a function printed may be cut within a character, or hold what JSON does not allow; one such line must not cost
    the batch it came in."""
    mended = _surrogates.sub(lambda found: b"\\ufffd" if found[1] else found[0], _as_utf8(body))
    return _control_characters.sub(lambda found: b"\\u%04x" % found[0][0], mended)


def _as_utf8(raw: bytes) -> bytes:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace").encode()
    return raw
