"""The two small languages of users' rules, patterns and placeholders, brought to RE2's terms. Pure.

Users write Go's regular expressions, as the documentation tells them, and the vendor's extension reads them with Rust's
`regex`: a near relation. Rules: what both take means here what it means there (`\\d`, `\\w` and `\\s` know Unicode, `(?x)`
leaves white space out); what RE2 would silently read as something else is refused instead. `\\b` knows ASCII words alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_word: Final = r"\pL\pM\p{Nd}\p{Nl}\p{Pc}"
_no_word: Final = r"\p{No}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}\pS\pZ\pC"
_space: Final = (
    r"\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"  # Unicode's White_Space
)
_no_space: Final = (
    r"\x00-\x08\x0E-\x1F!-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E}"
    r"\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF}"
)
# What stands for each escape within a class; outside of one it is put in brackets.
_in_class: Final = {
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "w": _word,
    "W": _no_word,
    "s": _space,
    "S": _no_space,
}

_flags: Final = re.compile(r"\(\?([a-zA-Z]*)(-[a-zA-Z]+)?([:)])")
_code_point: Final = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_posix_class: Final = re.compile(r"\[:\^?[a-z]+:\]")
_set_operation: Final = re.compile(r"&&|--\[|~~\[")


def to_re2(pattern: str) -> str:
    """The pattern in RE2's syntax. Raises ValueError for what RE2 cannot say and would misread."""
    return _Translation(pattern).result()


class _Translation:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._out: list[str] = []
        # For each open group, and the whole: is white space left out, does `\d` know Unicode?
        self._verbose = [False]
        self._unicode = [True]

    def result(self) -> str:
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            match character:
                case "\\":
                    self._escape(within_class=False)
                case "[":
                    self._class()
                case "(":
                    self._group()
                case ")":
                    self._copy(1)
                    if len(self._verbose) > 1:
                        self._verbose.pop()
                        self._unicode.pop()
                case _ if self._verbose[-1] and self._skips_blank():
                    pass
                case _:
                    self._copy(1)
        return "".join(self._out)

    def _copy(self, length: int) -> None:
        self._out.append(self._pattern[self._at : self._at + length])
        self._at += length

    def _skips_blank(self) -> bool:
        character = self._pattern[self._at]
        if character == "#":
            end = self._pattern.find("\n", self._at)
            self._at = len(self._pattern) if end < 0 else end + 1
            return True
        if character.isspace():
            self._at += 1
            return True
        return False

    def _escape(self, *, within_class: bool) -> None:
        pattern, at = self._pattern, self._at
        kind = pattern[at + 1 : at + 2]
        if kind == "Q" and not within_class:
            end = pattern.find("\\E", at + 2)
            self._copy(len(pattern) - at if end < 0 else end + 2 - at)
        elif kind == "C":
            raise ValueError("\\C is not supported: it would cut characters in two")
        elif kind in _in_class and self._unicode[-1]:
            inner = _in_class[kind]
            self._out.append(inner if within_class else f"[{inner}]")
            self._at += 2
        elif (found := _code_point.match(pattern, at)) is not None:
            self._out.append(f"\\x{{{found[1] or found[2] or found[3]}}}")
            self._at = found.end()
        else:
            self._copy(2)

    def _class(self) -> None:
        """`[…]`. An unescaped `[` within is a character, as in Go."""
        pattern = self._pattern
        self._copy(1)
        if pattern[self._at : self._at + 1] == "^":
            self._copy(1)
        if pattern[self._at : self._at + 1] == "]":
            self._copy(1)
        while self._at < len(pattern):
            character = pattern[self._at]
            if character == "]":
                self._copy(1)
                return
            if _set_operation.match(pattern, self._at):
                raise ValueError("set operations in a character class are not supported: write the class out")
            if character == "\\":
                self._escape(within_class=True)
            elif (posix := _posix_class.match(pattern, self._at)) is not None:
                self._copy(posix.end() - self._at)
            elif self._verbose[-1] and character.isspace():
                self._at += 1
            else:
                self._copy(1)

    def _group(self) -> None:
        found = _flags.match(self._pattern, self._at)
        if found is None:
            self._copy(1)
            self._verbose.append(self._verbose[-1])
            self._unicode.append(self._unicode[-1])
            return
        on, off, end = found[1], (found[2] or "")[1:], found[3]
        if end == ":":
            self._verbose.append(self._verbose[-1])
            self._unicode.append(self._unicode[-1])
        for flag, states in (("x", self._verbose), ("u", self._unicode)):
            if flag in on or flag in off:
                states[-1] = flag not in off
        on, off = on.translate(_own_flags), off.translate(_own_flags)
        flags = f"{on}-{off}" if off else on
        if flags or end == ":":
            self._out.append(f"(?{flags}{end}")
        self._at = found.end()


_own_flags: Final = {ord("x"): None, ord("u"): None}


_reference: Final = re.compile(r"\$(?:\$|\{([^}]*)\}|([0-9A-Za-z_]+))")


def parse_placeholder(placeholder: str, names: Mapping[str, int], groups: int) -> tuple[bytes | int, ...]:
    """What replaces a match: literal bytes, and numbers of groups (0 is the whole match).

    `$1`, `${1}`, `$name`, `${name}`; a name without braces is as long as can be; `$$` is a dollar sign; any other dollar
    sign stands for itself. A group that the pattern does not have gives nothing.
    """
    parts: list[bytes | int] = []
    literal = ""
    at = 0
    for found in _reference.finditer(placeholder):
        literal += placeholder[at : found.start()]
        at = found.end()
        if found[0] == "$$":
            literal += "$"
            continue
        name = found[1] if found[1] is not None else found[2]
        number = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else names.get(name, -1)
        if 0 <= number <= groups:
            parts += (literal.encode("utf-8", "replace"), number)
            literal = ""
    literal += placeholder[at:]
    parts.append(literal.encode("utf-8", "replace"))
    return tuple(part for part in parts if part != b"")
