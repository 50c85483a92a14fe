"""The common request and the common answer, without a state machine: most of a small request's cost is its protocol. Pure.

Rule of this file: what is taken here is a strict part of what h11 takes, and means the same there. Whatever is not plainly so
(another method, a body of unknown length, an expectation, anything but visible ASCII, ...) is nothing for here: None.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from .message import Response

_request_line: Final = re.compile(r"(GET|POST|PUT) (/[!-~]*) HTTP/1\.1")
_control: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_token: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_sendable: Final = re.compile(r"[!-~](?:[ -~\t]*[!-~])?")

# What decides on the framing, or asks for something beside an answer, but for `connection: keep-alive` and one length.
_doubtful: Final = frozenset({"transfer-encoding", "expect", "upgrade", "te", "trailer"})
_framing: Final = frozenset({"content-length", "transfer-encoding", "connection"})
max_length_digits: Final = 15
max_remembered: Final = 256

_lower: dict[str, str] = {}
_heads: dict[tuple[int, str | None, tuple[tuple[str, str], ...]], bytes] = {}

PlainRequest = tuple[str, str, list[tuple[str, str]], int, int]
"""Method, target, header fields by lower-case name, length of the body, and where it begins."""


def parse_request(data: bytes, *, max_bytes: int) -> PlainRequest | None:
    """The request that `data` begins with: its header must be there whole, and after it nothing but its body."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > max_bytes:
        return None
    try:
        head = data[:end].decode("ascii")
    except UnicodeDecodeError:
        return None
    first, *lines = head.split("\r\n")
    breaks = len(lines)
    if head.count("\r") != breaks or head.count("\n") != breaks or _control.search(head) is not None:
        return None
    found = _request_line.fullmatch(first)
    if found is None:
        return None
    fields: list[tuple[str, str]] = []
    length: int | None = None
    hosts = 0
    for line in lines:
        name, colon, value = line.partition(":")
        lower = _lower.get(name) or _learn(name)
        if lower is None or not colon:
            return None
        value = value.strip(" \t")
        if lower == "content-length":
            if length is not None or len(value) > max_length_digits or not value.isdigit():
                return None
            length = int(value)
        elif lower == "host":
            hosts += 1
        elif lower in _doubtful or (lower == "connection" and value.lower() != "keep-alive"):
            return None
        fields.append((lower, value))
    begin = end + 4
    if hosts != 1 or len(data) - begin > (length or 0):
        return None
    return found[1], found[2], fields, length or 0, begin


def _learn(name: str) -> str | None:
    """The name in lower case, None when it is none. Clients use few names, over and over."""
    if _token.fullmatch(name) is None:
        return None
    lower = name.lower()
    if len(_lower) < max_remembered and len(name) < 64:
        _lower[name] = lower
    return lower


def render_answer(response: Response) -> bytes | None:
    """The whole answer to a GET, POST or PUT on a connection that stays open."""
    if response.stream is not None or response.close:
        return None
    key = (response.status, response.content_type, response.headers)
    head = _heads.get(key)
    if head is None:
        head = _render_head(response)
        if head is None:
            return None
        if len(_heads) >= max_remembered:
            _heads.clear()
        _heads[key] = head
    return b"%b%d\r\n\r\n%b" % (head, len(response.body), response.body)


def _render_head(response: Response) -> bytes | None:
    """Up to the length."""
    if response.status < 200 or response.status in (204, 304):
        return None
    lines = [f"HTTP/1.1 {response.status} {reason(response.status)}"]
    fields = list(response.headers)
    if response.content_type is not None:
        fields.append(("Content-Type", response.content_type))
    for name, value in fields:
        if _token.fullmatch(name) is None or _sendable.fullmatch(value) is None or name.lower() in _framing:
            return None
        lines.append(f"{name}: {value}")
    return "\r\n".join((*lines, "Content-Length: ")).encode("ascii")


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
