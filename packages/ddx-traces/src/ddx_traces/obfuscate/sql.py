"""SQL without its literals: `SELECT a FROM t WHERE id = 4` → `SELECT a FROM t WHERE id = ?`. Pure.

The grammar is that of the vendor's agents, so that the same query makes the same resource whoever hides its values. Two rules
hold in this file. The text is cut into tokens by one expression per dialect in which every repetition is possessive: it never
goes back, so time is linear in the text, whatever the text. And what is not understood is hidden: a literal that does not end
runs to the end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

generic: Final = ""
mssql: Final = "mssql"
postgresql: Final = "postgresql"

# Letters, `_` and what is not ASCII begin a name; digits and `#$*.@` go on with it. Written as what is excluded, so that
# Unicode's white space can be excluded too.
_begin: Final = r"[^\x00-@\[-^`{-\x7f\s]"
_more: Final = r'[^\x00-"%-)+,\-/:-?\[-^`{-\x7f\s]'

_string: Final = (
    # Without a backslash there is nothing to doubt.
    r"'[^'\\]*+(?:''[^'\\]*+)*+(?:'|\Z)"
    # With one: it is a character like any other, as the standard has it, unless the text then goes on with a word.
    r"|'[^']*+(?:''[^']*+)*+(?:'(?!\w)|\Z)"
    r"|'[^'\\]*+(?:(?:''|\\.|\\\Z)[^'\\]*+)*+(?:'|\Z)"
)
_number: Final = r"-?+(?:0[xX][0-9a-fA-F]*+|(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]*+)?+)"
_placeholder: Final = (
    rf"{_string}"
    r"|[xX]'[^']*+(?:'|\Z)"
    rf"|{_number}"
    r"|\$[0-9?][0-9]*+(?:\.[0-9]++)?+"
    r"|%\([^)]*+(?:\)[A-Za-z]?+|\Z)"
    r'|%[^\x00-"$-?\[-^`{-\x7f\s]'
)
_block_comment: Final = r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)"
_line_comment: Final = r"--[^\n]*+|//[^\n]*+"

word, literal, quoted, punctuation, dollar, operator = range(1, 7)


@cache
def _tokens(dialect: str) -> re.Pattern[str]:
    """Space, then a token in the group of its kind; comments are in none."""
    words = rf"(?![xX]'){_begin}{_more}*+|@@?+(?!>){_more}*+|:(?![:=]){_more}++"
    names = r'"[^"]*+(?:""[^"]*+)*+(?:"(?:\.\*)?+|\Z)|`[^`]*+(?:``[^`]*+)*+(?:`(?:\.\*)?+|\Z)'
    question = r"|\?(?!&|\|(?!\|))"
    operators = r"::|:=|->>|->|@>|<>|<=|>=|!=|!~\*|!~|~\*|\?\||\?&|."
    hash_comment = r"#[^\n]*+"
    literals = _placeholder
    contained = rf"<@(?!{_begin})"
    match dialect:
        case "mssql":
            words += rf"|\#{_more}++"
            names += r"|\[[^\[\]]*+\](?:\.\*)?+"
            hash_comment = rf"\#(?!{_more})[^\n]*+"
            literals += question
        case "postgresql":
            hash_comment = r"#(?![>-])[^\n]*+"
            operators = rf"\#>>|\#>|\#-|{operators}"
            contained = "<@"
        case _:
            literals += question
    return re.compile(
        rf"\s*+(?:({words})|{_line_comment}|{_block_comment}|{hash_comment}|({literals})|({names})"
        rf"|([,();\[\]{{}}])|(\$)|({contained}|{operators}))",
        re.DOTALL,
    )


# After AS these are no alias, but the next clause.
_clauses: Final = frozenset((
    "alter", "begin", "create", "delete", "drop", "end", "except", "from", "group", "having", "insert", "intersect", "into",
    "join", "limit", "offset", "on", "order", "select", "set", "truncate", "union", "update", "values", "where", "with",
))  # fmt: skip
_special: Final = {each: each for each in ("as", "false", "null", "savepoint", "true")}

max_open_dollars: Final = 32
"""Searches for the ends of dollar quotes in one text; each may look at all of it. What has more is no query."""

_dollar_name: Final = re.compile(rf"\${_more}*+")
_dollar_tag: Final = re.compile(r"\$[^$\n]*+\$")
_quote_tag: Final = re.compile(rf"\$(?:{_begin}(?:{_begin}|[0-9])*+)?+\$")
_braces: Final = re.compile(r"[{}]")
_call: Final = re.compile(rf"\{{\s*+call(?!{_more})", re.IGNORECASE)
_more_values: Final = re.compile(r"(\bVALUES \( \? \))(?:,? \( (?:\? )?\))++", re.IGNORECASE)


def obfuscate_sql(text: str, dialect: str = generic) -> str:
    """`dialect` is `mssql`, `postgresql`, or anything else for the common one."""
    out: list[str] = []
    append = out.append
    special = _special.get
    in_group = False  # whether a literal would only repeat the one before it
    after_close = False  # whether the last piece written is `)`
    alias = ""  # the AS whose alias comes next; `[` within one in brackets
    hides_next = False  # after SAVEPOINT
    for kind, piece in _read(text, dialect):
        if alias:
            before, alias = alias, ""
            if before == "[":
                alias = "" if piece == "]" else before
                continue
            if kind == quoted or piece == "(" or (kind == literal and piece[0] not in "?{"):
                continue
            if piece == "[":
                alias = piece
                continue
            if kind == word:
                if piece.lower() not in _clauses:
                    continue
                append(before)
        if kind == word:
            match special(piece.lower()):
                case None:
                    if hides_next:
                        kind = literal
                case "as":
                    alias = piece
                    in_group = after_close = False
                    continue
                case "savepoint":
                    append(piece)
                    in_group = after_close = False
                    hides_next = True
                    continue
                case _:
                    kind = literal
        elif kind == quoted:
            name = _name(piece) if not hides_next else None
            if name is None or (piece[0] == '"' and out and out[-1] == "="):
                kind = literal
            else:
                piece = name
        hides_next = False
        if kind == literal:
            if not in_group:
                append("?")
                in_group = True
                after_close = False
        elif kind != punctuation:
            append(piece)
            in_group = after_close = False
        elif piece == ",":
            if not in_group:
                if out:
                    out[-1] += piece
                else:
                    append(piece)
                after_close = False
        elif piece == ";":
            in_group = True
        else:
            append(piece)
            if piece == "(":
                in_group = in_group and not after_close
            elif piece != ")":
                in_group = False
            after_close = piece == ")"
    if alias and alias != "[":
        append(alias)
    written = " ".join(out)
    return _more_values.sub(r"\1", written) if "( ? )" in written else written


def _read(text: str, dialect: str) -> Iterator[tuple[int, str]]:
    """Tokens by their kinds; what takes more than an expression to find the end of is found here."""
    # A token's expression begins with space: at the end of a text it would look for a token behind every blank.
    text = text.strip()
    finditer = _tokens(dialect).finditer
    searches = 0
    at = 0
    while at < len(text):
        resume = len(text)
        for match in finditer(text, at):
            kind = match.lastindex
            if kind is None:
                continue
            piece = match[kind]
            if kind == dollar:
                start = match.start(kind)
                tag = _dollar_tag.match(text, start)
                end = -1
                if tag is not None:
                    end = text.find(tag[0], tag.end())
                    searches += 1
                if end >= 0 and tag is not None:
                    yield literal, piece
                    resume = end + len(tag[0])
                elif searches > max_open_dollars or (tag is not None and _quote_tag.fullmatch(tag[0])):
                    # A quote that does not end: the statement was cut.
                    yield literal, piece
                else:
                    name = _dollar_name.match(text, start)
                    assert name is not None
                    yield word, name[0]
                    resume = name.end()
                break
            if piece == "{" and _call.match(text, match.start(kind)) is None:
                yield literal, piece
                resume = _end_of_braces(text, match.start(kind))
                break
            yield kind, piece
        at = resume


def _end_of_braces(text: str, start: int) -> int:
    depth = 0
    for brace in _braces.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return len(text)


def _name(piece: str) -> str | None:
    """A name without its quotes; None for one that is none."""
    quote = piece[0]
    every = ""
    if piece.endswith(".*") and piece[-3] in '"`]':
        piece, every = piece[:-2], ".*"
    if quote == "[":
        return piece[1:-1] + every
    inner = piece[1:-1]
    if len(piece) == 1 or piece[-1] != quote or len(inner) - len(inner.replace(quote, "")) & 1:
        # It has no end.
        return None
    if not inner.strip():
        return piece + every if not inner or quote == "`" else None
    return inner.replace(quote * 2, quote) + every
