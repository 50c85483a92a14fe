"""Bodies of `/api/v2/logs` and `/v1/input`: JSON object, JSON array, or text with a log on each line.

Rule: an entry may have any shape as long as it is an object; what is looked for and not there is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from ..items import Log
from .documents import json_text, read_json
from .errors import TooLarge

max_items: Final = 1000
"""Entries of one array ("Send logs", API reference)."""

_text_types = ("text/plain", "application/logplex-1")


def decode_logs(body: bytes, *, content_type: str | None, query: Mapping[str, str], request: int) -> list[Log]:
    """The entries in the order sent. `query` gives `ddtags`, `ddsource`, `service` and `hostname` to entries without them."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type in _text_types:
        lines = [line for line in body.decode("utf-8", "replace").splitlines() if line.strip()]
        entries = [msgspec.Raw(msgspec.json.encode({"message": line})) for line in lines]
    elif body.lstrip()[:1] == b"[":
        entries = read_json(body, list[msgspec.Raw])
    else:
        entries = [read_json(body, msgspec.Raw)]
    if len(entries) > max_items:
        raise TooLarge(f"{len(entries)} log entries in one request, the limit is {max_items}")
    return [_log(entry, query, request) for entry in entries]


def _log(entry: msgspec.Raw, query: Mapping[str, str], request: int) -> Log:
    fields = read_json(entry, dict[str, Any])
    message = fields.get("message")
    # Agents may send the message as an object, whose keys become attributes of the log.
    inner = _object(message)
    context = _object(inner.get("lambda", fields.get("lambda")))
    timestamp: Any = inner.get("timestamp", fields.get("timestamp"))
    tags = _text(fields.get("ddtags")) or query.get("ddtags") or ""
    return Log(
        request=request,
        message=_message_text(inner.get("message", message)),
        status=_text(inner.get("status", fields.get("status"))),
        service=_text(fields.get("service")) or query.get("service"),
        source=_text(fields.get("ddsource")) or query.get("ddsource"),
        hostname=_text(fields.get("hostname")) or query.get("hostname"),
        tags=tuple(tag for tag in tags.split(",") if tag),
        timestamp_ms=int(timestamp) if _is_time(timestamp) else None,
        request_id=_text(context.get("request_id")),
        arn=_text(context.get("arn")),
        raw=entry,
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _message_text(message: Any) -> str:
    if isinstance(message, str):
        return message
    return "" if message is None else json_text(message)


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
