"""JSON bodies, of queries to MongoDB, Elasticsearch and OpenSearch, without their values. Pure.

The text is read as a stream of tokens, so that one which was cut off keeps what can be told of it; it ends in `...` then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import IntEnum
from typing import Final

max_depth: Final = 512
"""What is nested deeper is cut off there."""

_token: Final = re.compile(
    r'[ \t\r\n]*+(?:("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")'
    r"|(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+(?![0-9.eE+-])|true\b|false\b|null\b)"
    r"|([{}\[\],:]))"
)
_string, _scalar, _mark = 1, 2, 3
_cut: Final = "..."


class _Expects(IntEnum):
    VALUE = 0
    VALUE_OR_END = 1
    KEY = 2
    KEY_OR_END = 3
    COLON = 4
    COMMA_OR_END = 5


class JsonObfuscator:
    """`keep` names keys whose values stay as they are, `sql` those whose texts are queries, hidden by `obfuscate_sql`."""

    def __init__(
        self,
        keep: tuple[str, ...] = (),
        sql: tuple[str, ...] = (),
        obfuscate_sql: Callable[[str], str] = lambda text: "?",
    ) -> None:
        self._keep = frozenset(keep)
        self._sql = frozenset(sql)
        self._obfuscate_sql = obfuscate_sql

    def apply(self, text: str) -> str:
        """The documents in `text`, with `"?"` for every value and without white space in them."""
        documents: list[str] = []
        text = text.rstrip(" \t\r\n")
        at = 0
        while at < len(text):
            written, end = self._document(text, at)
            documents.append(written)
            if end is None:
                break
            at = end
        return " ".join(documents)

    def _document(self, text: str, at: int) -> tuple[str, int | None]:
        """One document and where it ends, which is None when it does not."""
        out: list[str] = []
        containers: list[str] = []
        kept_depth: int | None = None  # how deep the value lies that is kept, or that we are within
        hides = True
        is_query = False
        expects = _Expects.VALUE
        while True:
            found = _token.match(text, at)
            if found is None:
                if expects in (_Expects.VALUE, _Expects.VALUE_OR_END) and text[at:].lstrip(" \t\r\n").startswith('"'):
                    out.append('"?"')
                break
            kind, piece, at = found.lastindex, found[found.lastindex or 0].strip(), found.end()
            is_closed = False
            if expects in (_Expects.KEY, _Expects.KEY_OR_END) and kind == _string:
                out.append(piece)
                if hides:
                    name = _text_of(piece)
                    if name in self._keep:
                        hides, kept_depth = False, len(containers)
                    is_query = name in self._sql
                expects = _Expects.COLON
            elif expects is _Expects.COLON and piece == ":":
                out.append(piece)
                expects = _Expects.VALUE
            elif expects is _Expects.COMMA_OR_END and piece == ",":
                out.append(piece)
                expects = _Expects.KEY if containers[-1] == "}" else _Expects.VALUE
            elif expects in (_Expects.VALUE, _Expects.VALUE_OR_END) and kind != _mark:
                out.append(self._value(piece, is_query=is_query and kind == _string) if hides else piece)
                is_closed = True
            elif expects in (_Expects.VALUE, _Expects.VALUE_OR_END) and piece in "{[" and len(containers) < max_depth:
                out.append(piece)
                containers.append("}" if piece == "{" else "]")
                expects = _Expects.KEY_OR_END if piece == "{" else _Expects.VALUE_OR_END
                is_query = False
            elif (
                expects in (_Expects.COMMA_OR_END, _Expects.KEY_OR_END, _Expects.VALUE_OR_END)
                and containers
                and piece == containers[-1]
            ):
                out.append(piece)
                containers.pop()
                is_closed = True
            else:
                break
            if is_closed:
                is_query = False
                if kept_depth == len(containers):
                    hides, kept_depth = True, None
                if not containers:
                    return "".join(out), at
                expects = _Expects.COMMA_OR_END
        return "".join([*out, _cut]), None

    def _value(self, piece: str, *, is_query: bool) -> str:
        if not is_query:
            return '"?"'
        return json.dumps(self._obfuscate_sql(_text_of(piece)), ensure_ascii=False)


def _text_of(piece: str) -> str:
    return json.loads(piece) if "\\" in piece else piece[1:-1]
