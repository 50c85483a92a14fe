"""Log entries that do not come from Lambda: from a program's own hands, or from adapters over the network. Pure.

Rules: an entry is sent as it is given, with every key that its maker put there; only a message that would make the item
too large is cut. One bad entry in an array makes the whole array bad, so that its sender notices.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from ddx_core.errors import MalformedInput

from .encode import cut_json_text, json_text

_texts: Final = ("hostname", "service", "ddtags", "ddsource", "status")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry as the log intake takes it. `timestamp` is in Unix milliseconds; None leaves a field out.

    `more` holds further attributes, any JSON values, under other names than those of the fields.
    """

    message: str
    timestamp: int
    hostname: str | None = None
    service: str | None = None
    ddtags: str | None = None
    """Comma-separated."""
    ddsource: str | None = None
    status: str | None = None
    more: dict[str, Any] = {}

    @property
    def size(self) -> int:
        """Bytes of the message in UTF-8."""
        return len(self.message.encode("utf-8", "replace"))


class Item(msgspec.Struct, frozen=True, gc=False):
    """An encoded entry; `data` is None when it is too large even without its message."""

    data: bytes | None
    is_cut: bool = False


_encode = msgspec.json.Encoder().encode
_array = msgspec.json.Decoder(list[dict[str, Any]])


def encode_entry(entry: Entry, *, max_item_bytes: int) -> Item:
    text = json_text(entry.message)
    fields: dict[str, Any] = {"timestamp": entry.timestamp}
    fields.update((name, value) for name in _texts if (value := getattr(entry, name)) is not None)
    try:
        rest = _encode(fields | entry.more)
    except UnicodeEncodeError:
        rest = _encode(_whole_characters(fields | entry.more))
    frame = len(b'{"message":,') + len(rest) - 1
    is_cut = frame + len(text) > max_item_bytes
    if is_cut:
        text = cut_json_text(text, max_item_bytes - frame)
        if frame + len(text) > max_item_bytes:
            return Item(None)
    return Item(b'{"message":%b,%b' % (text, rest[1:]), is_cut)


def read_entries(body: bytes) -> list[Entry]:
    """A JSON array of entries. Raises MalformedInput, saying which entry is wrong and how."""
    try:
        tree = _array.decode(body)
    except (ValueError, RecursionError) as error:
        raise MalformedInput(str(error)) from None
    return [_entry(fields, number) for number, fields in enumerate(tree)]


def _entry(fields: dict[str, Any], number: int) -> Entry:
    message = fields.pop("message", None)
    if not isinstance(message, str):
        raise MalformedInput(f"entry {number}: message is missing or no string")
    timestamp = fields.pop("timestamp", None)
    # The intake would refuse the whole batch for a number that is no 64-bit one.
    if type(timestamp) is not int or not -(1 << 63) <= timestamp < 1 << 63:
        raise MalformedInput(f"entry {number}: timestamp is missing or no integer")
    texts: dict[str, str] = {}
    for name in _texts:
        value = fields.pop(name, None)
        if isinstance(value, str):
            texts[name] = value
        elif value is not None:
            raise MalformedInput(f"entry {number}: {name} is no string")
    return Entry(message=message, timestamp=timestamp, more=fields, **texts)


def _whole_characters(value: Any) -> Any:
    """The same value with question marks for lone surrogates, which UTF-8 cannot say."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(it) for key, it in cast(dict[Any, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [_whole_characters(it) for it in cast(list[Any], value)]
    return value
