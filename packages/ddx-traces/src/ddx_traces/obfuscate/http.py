"""URLs without credentials and, when asked for, without query or without the path's segments that hold digits. Pure.

What comes out is written anew as the vendor's agents write it, so that the same URL makes the same tag. A text that is no URL
stays as it is while nothing was asked for; otherwise `?` stands for it.
"""

from __future__ import annotations

import re
from typing import Final

# What nearly every URL is: nothing in it would be written in another way.
_plain: Final = re.compile(
    r"https?://[A-Za-z0-9._-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/$&+,;=:@-]*)?(?:\?[^#\x00-\x1f\x7f]*)?(?:#[A-Za-z0-9._/-]+)?"
)
_control: Final = re.compile(r"[\x00-\x1f\x7f]")

_foreign_in_path: Final = re.compile(r'[^\x00-\x7f]|[\\^{}|<>` "]')
_foreign_and_marks_in_path: Final = re.compile(r"""[^\x00-\x7f]|[\\^{}|<>` "!'()*\[\]]""")
_foreign_in_fragment: Final = re.compile(r'[^\x00-\x7f]|[\x00-\x1f\x7f#\\^{}|<>` "]')
_foreign_and_marks_in_fragment: Final = re.compile(r"""[^\x00-\x7f]|[\x00-\x1f\x7f#\\^{}|<>` "'\[\]]""")

# RFC 3986, appendix A; the query is cut off before.
_character: Final = r"[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}"
_reference: Final = re.compile(
    rf"""(?:([A-Za-z][A-Za-z0-9+.-]*+):)?+
    (?://(?:(?:{_character}|:)*+@)?+((?:\[[0-9A-Fa-f:.]++\]|(?:{_character})*+)(?::[0-9]*+)?+)(?=/|\Z)|(?!//))
    ((?:{_character}|[:@/])*+)""",
    re.VERBOSE,
)
_fragment: Final = re.compile(rf"(?:{_character}|[:@/?])*+")
_needless_escape: Final = re.compile(r"%(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[Ee]|5[Ff]|7[Ee])")
_escape: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_digit: Final = re.compile(r"[0-9]")


def obfuscate_url(text: str, *, removes_query: bool = False, removes_digits: bool = False) -> str:
    if not (removes_query or removes_digits) and _plain.fullmatch(text):
        return text
    if not text:
        return text
    written = _write_anew(text, removes_query=removes_query, removes_digits=removes_digits)
    if written is not None:
        return written
    return "?" if removes_query or removes_digits else text


def _write_anew(text: str, *, removes_query: bool, removes_digits: bool) -> str | None:
    """None: it is no URL."""
    before, _, fragment = text.partition("#")
    if _control.search(before):
        return None
    path, mark, query = before.partition("?")
    encoded = _encode(path, _foreign_in_path, _foreign_and_marks_in_path)
    found = _reference.fullmatch(encoded)
    if found is None:
        return None
    scheme, authority, path_found = found[1], found[2], found[3]
    if scheme is None and authority is None and ":" in path_found.partition("/")[0]:
        # What comes before a colon would be a scheme.
        return None
    pieces: list[str] = []
    if scheme is not None:
        pieces += (scheme.lower(), ":")
    if scheme is not None and authority is None and not path_found.startswith("/"):
        pieces.append(path[len(scheme) + 1 :])
    else:
        if authority is not None:
            pieces += ("//", authority)
        pieces.append(_write_path(path_found, removes_digits=removes_digits))
    if mark:
        pieces += (mark, "" if removes_query else query)
    if fragment:
        pattern = _foreign_and_marks_in_fragment if not fragment.isascii() else _foreign_in_fragment
        fragment = pattern.sub(_percent, fragment)
        if not _fragment.fullmatch(fragment):
            return None
        pieces += ("#", fragment)
    return "".join(pieces)


def _encode(path: str, foreign: re.Pattern[str], foreign_and_marks: re.Pattern[str]) -> str:
    return foreign_and_marks.sub(_percent, path) if foreign.search(path) else path


def _percent(found: re.Match[str]) -> str:
    # A half of a pair is no character; it cannot be encoded.
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))


def _write_path(path: str, *, removes_digits: bool) -> str:
    if "%" in path:
        path = _needless_escape.sub(_decode, path)
    if not removes_digits:
        return path
    return "/".join("?" if _digit.search(_escape.sub("", segment)) else segment for segment in path.split("/"))


def _decode(found: re.Match[str]) -> str:
    return chr(int(found[0][1:], 16))
