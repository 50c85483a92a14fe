"""Requests and responses as handlers see them. Header names are lower-case text; bodies are whole and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

type_json = "application/json"
type_text = "text/plain; charset=utf-8"


class Headers(Mapping[str, str]):
    """Header fields by lower-case name. A repeated field gives its last value; `all` gives every one."""

    __slots__ = ("_last", "items_in_order")

    def __init__(self, items: list[tuple[str, str]]) -> None:
        self.items_in_order = items
        self._last = dict(items)

    def __getitem__(self, name: str) -> str:
        return self._last[name]

    def __iter__(self) -> Any:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.items_in_order if key == name]


class Request(msgspec.Struct, kw_only=True):
    """One request, its body read to the end.

    `path` is percent-decoded and without the query; `query` is the raw text behind the first `?`.
    `params` holds the path's `{name}` parts. `truncated` is true when the body passed its route's limit and the
    route asked for the rest to be thrown away (`body` is then empty). `trailers` are the fields that followed a
    chunked body. `body_s` is how long the body took to come in after the header.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    params: dict[str, str] = {}
    trailers: Headers = Headers([])
    truncated: bool = False
    body_s: float = 0.0
    peer: str = ""


class Response(msgspec.Struct, kw_only=True):
    """One answer. `stream`, when given, follows `body` chunk by chunk (chunked transfer coding).

    `content_type` None sends no such header. `close` ends the connection after it.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = type_text
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None
    close: bool = False


def text(body: str, status: int = 200) -> Response:
    return Response(status=status, body=body.encode(), content_type=type_text)


def json(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status=status, body=msgspec.json.encode(value), content_type=type_json, headers=headers)


class Hangup(Exception):
    """Raised by a handler to end the connection without a proper answer: for servers that play a broken peer.

    `sent` goes out as it is first; `reset` closes with TCP RST instead of FIN.
    """

    def __init__(self, sent: bytes = b"", *, reset: bool = True) -> None:
        super().__init__("the handler hung up")
        self.sent = sent
        self.reset = reset
