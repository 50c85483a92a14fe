"""Records → items → arrays: the JSON that the log intake takes from a Lambda extension. Pure.

Rules: an item is encoded once, when its record is complete, from parts rendered beforehand, so that a batch is a join. The
order of keys is fixed. No item is larger than the limit: the text of one that would be is cut, with a marker at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ddx_core.clock import ns_per_ms
from ddx_core.tags import TagSet

from .record import Execution, LogRecord, Status

path: Final = "/api/v2/logs"
content_type: Final = "application/json"
headers: Final = (("DD-PROTOCOL", "agent-json"),)
"""`agent-json` is what allows `message` to be an object, whose keys become attributes of the log."""

truncation_marker: Final = b"...TRUNCATED..."
array_framing: Final = 2
"""Bytes of the brackets. Each item but the first has a comma too."""

_encode_json = msgspec.json.Encoder().encode


def json_text(text: str) -> bytes:
    """A JSON string. Lone surrogates, which UTF-8 cannot say, become question marks."""
    try:
        return _encode_json(text)
    except UnicodeEncodeError:
        return _encode_json(text.encode("utf-8", "replace").decode())


class ItemEncoder:
    """Encodes for one function: everything that its items have in common is rendered here, once."""

    def __init__(self, *, arn: str, service: str, tags: TagSet, max_item_bytes: int) -> None:
        self._service = service
        self._max_item_bytes = max_item_bytes
        self.truncated = 0
        """How many items were cut."""
        self.set_function(arn, tags)

    def set_function(self, arn: str, tags: TagSet) -> None:
        """What items say of the function from here on."""
        arn_json = json_text(arn.lower())
        self._tags = tags.joined
        self._before_request_id = b',"lambda":{"arn":' + arn_json + b',"request_id":'
        self._before_tags = (
            b'"},"hostname":' + arn_json + b',"service":' + json_text(self._service.lower()) + b',"ddtags":'
        )
        self._after_tags = b',"ddsource":"lambda"}'
        self._tails = {status: self._tail(status, ()) for status in Status}
        # Of the item before: lines of one invocation and one status come in runs.
        self._request_id: str | None = None
        self._execution: Execution | None = None
        self._middle = self._middle_for(None, None)
        self._status = Status.INFO
        self._plain_tail = self._tails[Status.INFO]

    def encode(self, record: LogRecord, request_id: str | None) -> bytes:
        """One item; never empty, never above `max_item_bytes` (unless the common parts alone are)."""
        if request_id != self._request_id or record.execution != self._execution:
            self._middle = self._middle_for(request_id, record.execution)
            self._request_id, self._execution = request_id, record.execution
        status = record.status
        if record.tags:
            tail = self._tail(status, record.tags)
        else:
            if status is not self._status:
                self._status, self._plain_tail = status, self._tails[status]
            tail = self._plain_tail
        try:
            text = _encode_json(record.text)
        except UnicodeEncodeError:
            text = json_text(record.text)
        item = b'{"message":{"message":%b%b%d%b' % (text, self._middle, record.time_ns // ns_per_ms, tail)
        if len(item) > self._max_item_bytes:
            self.truncated += 1
            text = cut_json_text(text, len(text) - (len(item) - self._max_item_bytes))
            item = b'{"message":{"message":%b%b%d%b' % (text, self._middle, record.time_ns // ns_per_ms, tail)
        return item

    def _middle_for(self, request_id: str | None, execution: Execution | None) -> bytes:
        rendered = b"null" if request_id is None else json_text(request_id)
        if execution is not None:
            rendered += _durable_fields(execution)
        return self._before_request_id + rendered + b'},"timestamp":'

    def _tail(self, status: Status, tags: tuple[str, ...]) -> bytes:
        joined = ",".join((self._tags, *tags) if self._tags else tags)
        return b',"status":"' + status.encode() + self._before_tags + json_text(joined) + self._after_tags


def _durable_fields(execution: Execution) -> bytes:
    fields: list[tuple[bytes, bytes]] = [
        (b"execution_id", json_text(execution.id)),
        (b"execution_name", json_text(execution.name)),
    ]
    if execution.first_invocation is not None:
        fields.append((b"first_invocation", b"true" if execution.first_invocation else b"false"))
    if execution.status is not None:
        fields.append((b"execution_status", json_text(execution.status)))
    return b"".join(b',"durable_function.%b":%b' % field for field in fields)


def cut_json_text(text: bytes, max_bytes: int) -> bytes:
    """A JSON string cut to `max_bytes`, between characters, ending with the marker; the marker alone when there is no room."""
    end = max(1, max_bytes - len(truncation_marker) - 1)
    while end > 1 and text[end] & 0xC0 == 0x80:
        end -= 1
    escape = text.rfind(b"\\", max(1, end - 6), end)
    if escape > 0:
        head = text[1 : escape + 1]
        backslashes = len(head) - len(head.rstrip(b"\\"))
        # An odd run of backslashes ends in one that begins an escape of two or of six bytes.
        if backslashes % 2 and escape + (6 if text[escape + 1 : escape + 2] == b"u" else 2) > end:
            end = escape
    return text[:end] + truncation_marker + b'"'


def array(items: Sequence[bytes | msgspec.Raw]) -> bytes:
    return b"[" + b",".join(items) + b"]"


_items = msgspec.json.Decoder(list[msgspec.Raw])


def split_array(body: bytes) -> list[tuple[bytes, int]]:
    """Two arrays of about the same size, each with its number of items; nothing of an array that has less than two.

    Raises ValueError for what is no array.
    """
    items = _items.decode(body)
    if len(items) < 2:
        return []
    half = len(body) // 2
    size = number = 0
    while number < len(items) - 1 and (size < half or not number):
        size += len(memoryview(items[number])) + 1
        number += 1
    return [(array(part), len(part)) for part in (items[:number], items[number:])]
