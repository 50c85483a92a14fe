"""What a JSON message carries for its log entry: tags, status, request id. Pure.

Rules: only a JSON object carries anything; whatever else the text is, it stays as it is, byte for byte. A text is written
anew only when tags are taken out of it; the order of its keys is kept.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import msgspec

from .durable import execution_in
from .record import Execution, Status

named = {
    "FATAL": Status.CRITICAL,
    "CRITICAL": Status.CRITICAL,
    "ERROR": Status.ERROR,
    "ERR": Status.ERROR,
    "WARN": Status.WARN,
    "WARNING": Status.WARN,
    "INFO": Status.INFO,
    "INFORMATION": Status.INFO,
    "DEBUG": Status.DEBUG,
    "TRACE": Status.TRACE,
}
"""Statuses by name in upper case, as the vendor's extension knows them."""

max_tags_length = 16_384
"""Characters of tags that are lifted; more of them stay in the text as they are. The intake takes 100 tags of 200 characters."""
max_request_id_length = 256
"""A longer text is no request id."""
max_arn_length = 2048
"""A longer text is no ARN."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """`status` is None when the message names none."""

    text: str
    status: Status | None = None
    tags: tuple[str, ...] = ()
    request_id: str | None = None
    execution: Execution | None = None


class _Head(msgspec.Struct, gc=False):
    """The keys of a JSON text that name a status; the others are only checked to be JSON, a fraction of what decoding costs."""

    level: Any = None
    status: Any = None


_head = msgspec.json.Decoder(_Head)
_object = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


_space = " \t\r\n"


def may_be_object(text: str) -> bool:
    first = text[:1]
    return first == "{" or (first in _space and text.lstrip(_space)[:1] == "{")


def read_text(text: str) -> Reading:
    """A record that came as text."""
    if not may_be_object(text):
        return Reading(text)
    try:
        if "ddtags" not in text and "\\u" not in text:  # an escape may hide the name
            head = _head.decode(text)
            return Reading(text, _status(head.level, head.status))
        fields = _object.decode(text)
    except (ValueError, RecursionError):
        return Reading(text)
    status = _status(fields.get("level"), fields.get("status"))
    lifted = _without_tags(fields)
    if lifted is None:
        return Reading(text, status)
    rest, tags = lifted
    return Reading(_compact(rest), status, tags)


def read_object(fields: dict[str, Any]) -> Reading:
    """A record that came as a JSON object: its text is that object, compact."""
    get = fields.get
    status = _status(get("level"), get("status"))
    request_id = _request_id(get("requestId")) or _request_id(get("AWSRequestId"))
    arn = get("executionArn")
    execution = execution_in(arn) if isinstance(arn, str) and len(arn) <= max_arn_length else None
    lifted = _without_tags(fields)
    if lifted is None:
        return Reading(_compact(fields), status, (), request_id, execution)
    rest, tags = lifted
    return Reading(_compact(rest), status, tags, request_id, execution)


def _status(level: object, status: object) -> Status | None:
    found = named.get(level.upper()) if isinstance(level, str) else None
    if found is None and isinstance(status, str):
        found = named.get(status.upper())
    return found


def _request_id(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= max_request_id_length else None


def _without_tags(fields: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """The object without `ddtags` (its own, else those of the object under `message`), and these tags. None: it has none.

    When nothing but `message` is left around the inner object, the inner object is all that remains.
    """
    tags = _split(fields["ddtags"]) if "ddtags" in fields else None
    if tags is not None:
        return _without(fields, "ddtags"), tags
    inner = fields.get("message")
    if not _is_object(inner) or (tags := _split(inner.get("ddtags"))) is None:
        return None
    inner = _without(inner, "ddtags")
    return inner if len(fields) == 1 else {**fields, "message": inner}, tags


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _split(value: object) -> tuple[str, ...] | None:
    """Tags as a comma-separated text or as a list of texts; anything else, or too much, is not taken.
    Empty ones and repeats are left out."""
    if isinstance(value, str):
        tags = value.split(",")
    elif _is_list(value) and all(isinstance(tag, str) for tag in value):
        tags = [part for tag in value for part in tag.split(",")]
    else:
        return None
    kept: dict[str, None] = {}
    length = 0
    for tag in tags:
        length += len(tag) + 1
        if length > max_tags_length:
            return None
        if tag and not tag.isspace():
            kept[tag] = None
    return tuple(kept)


def _compact(fields: dict[str, Any]) -> str:
    return _encoder.encode(fields).decode()
