"""Names and values within the limits that the backend expects; the agents of the vendor apply the same rules.

Rule of this file: lengths are bytes of UTF-8 unless said, and no cut ever splits a character. Pure. Services, names,
types and environments repeat from span to span, so their normalised forms are remembered (bounded).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ..span import Span, max_int64

max_name_bytes: Final = 100
max_tag_characters: Final = 200
max_tag_bytes: Final = 400
# Nothing that a tracer times can lie before 2000-01-01: a smaller start is a defect of a clock or of the tracer.
earliest_start_ns: Final = 946_684_800_000_000_000
# What is longer no page shows; the backend would refuse a payload for one of them.
max_resource_bytes: Final = 5000
max_key_bytes: Final = 200
max_value_bytes: Final = 25_000
cut_marker: Final = "..."
max_remembered: Final = 2048
max_remembered_length: Final = 200
max_remembered_keys: Final = 128
"""A span with more of them is not like others, and its keys push nobody else's out."""

_Value = TypeVar("_Value")


class Normalizer:
    """Normalises spans in place. `now_ns` is asked for only when a span has no usable start."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._services = _Memo(normalize_service)
        self._names = _Memo(normalize_name)
        self._types = _Memo(_cut)
        self._environments = _Memo(normalize_tag)
        self._short_keys: set[str] = set()

    def service(self, text: str) -> str:
        return self._services[text]

    def env(self, text: str) -> str:
        return self._environments[text]

    def apply(self, span: Span) -> None:
        """The span's ids must not be 0."""
        span.service = self._services[span.service]
        span.name = self._names[span.name]
        if not span.resource:
            span.resource = span.name
        elif len(span.resource) * 4 > max_resource_bytes:
            span.resource = _cut_to(span.resource, max_resource_bytes)
        if span.type:
            span.type = self._types[span.type]
        if span.parent_id == span.span_id == span.trace_id:
            span.parent_id = 0
        if span.duration < 0 or span.start + span.duration > max_int64:
            span.duration = 0
        if span.start < earliest_start_ns:
            now = self._now_ns()
            span.start = now - span.duration if span.duration <= now else now
        meta = span.meta
        if "env" in meta:
            meta["env"] = self._environments[meta["env"]]
        if "http.status_code" in meta and not is_status_code(meta["http.status_code"]):
            del meta["http.status_code"]
        # Nearly always nothing is long; to know that takes a look at keys seen before, and the length of all values.
        if not self._short_keys.issuperset(meta):
            span.meta = meta = self._with_short_keys(meta)
        if len("".join(meta.values())) > _surely_short_value:
            for key, value in meta.items():
                meta[key] = _cut_value(key, value)
        if not self._short_keys.issuperset(span.metrics):
            span.metrics = self._with_short_keys(span.metrics)

    def _with_short_keys(self, values: dict[str, _Value]) -> dict[str, _Value]:
        if any(_cut_to(key, max_key_bytes) is not key for key in values):
            return {_cut_key(key): value for key, value in values.items()}
        if len(values) <= max_remembered_keys:
            if len(self._short_keys) >= max_remembered:
                self._short_keys.clear()
            self._short_keys.update(values)
        return values


class _Memo(dict[str, str]):
    """What a function of a text gives: `memo[text]`. Remembers texts of ordinary length; forgets all when it is full."""

    def __init__(self, make: Callable[[str], str]) -> None:
        self._make = make

    def __missing__(self, text: str) -> str:
        made = self._make(text)
        if len(text) <= max_remembered_length:
            if len(self) >= max_remembered:
                self.clear()
            self[text] = made
        return made


def normalize_service(text: str) -> str:
    return normalize_tag(_cut(text)) or "unnamed-service"


def normalize_tag(text: str) -> str:
    """Lower case; letters, digits and `:./-_`; must begin with a letter or colon; anything else is one `_` a run."""
    written: list[str] = []
    size = 0
    in_run = (
        False  # whether the last one written is the `_` that stands for a run of underscores and foreign characters
    )
    for character in text:
        if len(written) >= max_tag_characters or size >= max_tag_bytes:
            break
        if "a" <= character <= "z" or character == ":":
            pass
        elif "A" <= character <= "Z":
            character = character.lower()
        elif character in "0123456789./-":
            if not written:
                continue
        elif character >= "\x80" and character.isalpha():
            character = _lower(character) if character.isupper() else character
        elif character >= "\x80" and character.isnumeric():
            if not written:
                continue
        else:
            if written and not in_run:
                written.append("_")
                size += 1
                in_run = True
            continue
        written.append(character)
        size += len(character.encode())
        in_run = False
    if in_run:
        written.pop()
    return "".join(written)


def _lower(letter: str) -> str:
    """The first character of the lower-case form, unless that needs more bytes."""
    lower = letter.lower()[:1]
    return lower if len(lower.encode()) <= len(letter.encode()) else letter


def normalize_name(text: str) -> str:
    """ASCII letters, digits, `_` and `.`, beginning with a letter; works on bytes, so `é` is one of two foreign ones."""
    written = bytearray()
    for byte in _cut(text).encode():
        if byte in _letters:
            written.append(byte)
        elif not written:
            continue
        elif byte in _digits:
            written.append(byte)
        elif byte == _dot and written[-1] == _underscore:
            written[-1] = _dot
        elif written[-1] not in (_underscore, _dot):
            written.append(_dot if byte == _dot else _underscore)
    if written.endswith(b"_"):
        written.pop()
    return written.decode() or "unnamed_operation"


_letters = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_digits = frozenset(b"0123456789")
_dot = ord(".")
_underscore = ord("_")


_usual_status_codes = frozenset(map(str, range(100, 600)))


def is_status_code(text: str) -> bool:
    """A decimal number from 100 to 599, leading zeros allowed."""
    if text in _usual_status_codes:
        return True
    return 3 <= len(text) <= 20 and text.isascii() and text.isdigit() and 100 <= int(text) <= 599


# A character takes four bytes at most.
_surely_short_value: Final = max_value_bytes // 4


def _cut_key(key: str) -> str:
    cut = _cut_to(key, max_key_bytes)
    return key if cut is key else cut + cut_marker


def _cut_value(key: str, value: str) -> str:
    # These hold documents (links, events, security findings) of which a part would be worth nothing.
    if key.startswith("_") or key == "events":
        return value
    cut = _cut_to(value, max_value_bytes)
    return value if cut is value else cut + cut_marker


def _cut(text: str) -> str:
    return _cut_to(text, max_name_bytes)


def _cut_to(text: str, max_bytes: int) -> str:
    """At most so many bytes, on a character's boundary; `text` itself when it is not longer."""
    if len(text) * 4 <= max_bytes:
        return text
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= max_bytes else encoded[:max_bytes].decode("utf-8", "ignore")
