r"""The grammar of events and service checks: one line → one of them, or None. Pure.

    _e{<title bytes>,<text bytes>}:<title>|<text>[|d:<unix>][|h:<host>][|k:<key>][|p:…][|s:<source>][|t:…][|#<tag>,…]
    _sc|<name>|<status>[|d:<unix>][|h:<host>][|#<tag>,…][|m:<message>]

Rules of this file:
- Nothing raises. A field that makes no sense, or that nobody knows, is left out and the rest is taken; of a repeated one the
  last counts. Of more tags than a metric may have the first are taken, and a warning says so.
- Lengths are bytes and rule: a title may hold `|`. Bytes that are no UTF-8 are replaced.
- Clients write a newline as `\n`, and `m:` within a message as `m\:`.

Grammar: Datadog documentation, "DogStatsD datagram format and shell usage".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ddx_core import log

from ..context import max_tags
from ..dogstatsd.sender import sender_tags
from ..settings import Cardinality
from .event import Event, ServiceCheck

_shortest_header: Final = len(b"_e{1,0}")
_most_digits: Final = 6
_priorities: Final = frozenset(["normal", "low"])
_alert_types: Final = frozenset(["error", "warning", "info", "success"])
_statuses: Final = {b"0": 0, b"1": 1, b"2": 2, b"3": 3}
_most_time_digits: Final = 12


def parse_event(line: bytes, sender_cardinality: Cardinality | None = None) -> Event | None:
    """`sender_cardinality`: make tags of the container that the line names, that many unless the line says otherwise."""
    header, _, payload = line.partition(b":")
    if len(header) < _shortest_header or not header.startswith(b"_e{") or not header.endswith(b"}"):
        return None
    title_digits, _, text_digits = header[3:-1].partition(b",")
    title_size, text_size = _length(title_digits), _length(text_digits)
    if not title_size or text_size is None:
        return None
    text_at = title_size + 1
    if len(payload) < text_at + text_size:
        return None
    # What follows the text belongs to no field until a `|` begins the first one.
    _, *fields = payload[text_at + text_size :].split(b"|")
    time_s: int | None = None
    host = key = source = ""
    priority, alert_type = "normal", "info"
    tags: tuple[str, ...] = ()
    for field in fields:
        mark, value = field[:2], _text(field[2:])
        if mark == b"d:":
            time_s = _time(field[2:]) or time_s
        elif mark == b"h:":
            host = value
        elif mark == b"k:":
            key = value
        elif mark == b"p:":
            priority = value if value in _priorities else priority
        elif mark == b"s:":
            source = value
        elif mark == b"t:":
            alert_type = value if value in _alert_types else alert_type
        elif mark[:1] == b"#":
            tags = _tags(field[1:], "event")
    return Event(
        title=_unescaped(payload[:title_size]),
        text=_unescaped(payload[text_at : text_at + text_size]),
        time_s=time_s,
        host=host,
        aggregation_key=key,
        priority=priority,
        source_type=source,
        alert_type=alert_type,
        tags=tags + _sender_tags(fields, sender_cardinality),
    )


def parse_service_check(line: bytes, sender_cardinality: Cardinality | None = None) -> ServiceCheck | None:
    """The same for a service check."""
    mark, *rest = line.split(b"|")
    if mark != b"_sc" or len(rest) < 2 or not rest[0]:
        return None
    status = _statuses.get(rest[1])
    if status is None:
        return None
    fields = rest[2:]
    time_s: int | None = None
    host = message = ""
    tags: tuple[str, ...] = ()
    for field in fields:
        mark = field[:2]
        if mark == b"d:":
            time_s = _time(field[2:]) or time_s
        elif mark == b"h:":
            host = _text(field[2:])
        elif mark == b"m:":
            message = _unescaped(field[2:]).replace("m\\:", "m:")
        elif mark[:1] == b"#":
            tags = _tags(field[1:], "service check")
    return ServiceCheck(
        name=_text(rest[0]),
        status=status,
        time_s=time_s,
        host=host,
        message=message,
        tags=tags + _sender_tags(fields, sender_cardinality),
    )


def _length(digits: bytes) -> int | None:
    return int(digits) if digits.isdigit() and len(digits) <= _most_digits else None


def _time(digits: bytes) -> int | None:
    return int(digits) or None if digits.isdigit() and len(digits) <= _most_time_digits else None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _unescaped(data: bytes) -> str:
    return _text(data).replace("\\n", "\n")


def _tags(data: bytes, about: str) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(tag for tag in _text(data).split(",") if tag))
    if len(tags) > max_tags:
        log.warning("dogstatsd_tags_left_out", about=about, tags=len(tags), kept=max_tags)
    return tags[:max_tags]


def _sender_tags(fields: Sequence[bytes], sender_cardinality: Cardinality | None) -> tuple[str, ...]:
    return () if sender_cardinality is None else tuple(sender_tags(fields, sender_cardinality))
