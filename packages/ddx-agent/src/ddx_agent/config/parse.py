"""From what was written to a value, by the type of its setting. Pure.

`Raw` is text (a variable, a scalar of datadog.yaml) or a tree of lists and maps with text or None at the leaves (datadog.yaml).
A parser raises ValueError with the accepted form; the caller adds the name. No message repeats a value. Where one entry of
many is bad, it is left out: the parser returns `Partly`; one with problems and no value counts as a bad value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

import msgspec

from ddx_agent.variables import no, yes
from ddx_core.flush import BadStrategy, Strategy, parse_strategy
from ddx_core.intake import Proxy
from ddx_logs.rules import parse_rules
from ddx_traces.rules import parse_patterns, parse_replace_rules, parse_tag_rules

Raw = str | list[Any] | dict[str, Any]
Parser = Callable[[Raw], Any]


class Partly(NamedTuple):
    """A value without the entries that `problems` tell of. Nothing left and problems: the next source is asked."""

    value: Any
    problems: tuple[str, ...]


def _text(raw: Raw, form: str) -> str:
    if isinstance(raw, str):
        return raw.strip()
    raise ValueError(f"expected {form}, not a {'list' if isinstance(raw, list) else 'map'}")


def text(raw: Raw) -> str | None:
    """Kept as written but for the space around it; blank text is the same as no text."""
    return _text(raw, "text") or None


def boolean(raw: Raw) -> bool:
    word = _text(raw, "true or false").lower()
    if word in yes:
        return True
    if word in no:
        return False
    raise ValueError("expected true or false")


def whole_number(lowest: int, highest: int) -> Parser:
    form = f"a whole number from {lowest} to {highest}"

    def parse(raw: Raw) -> int:
        digits = _text(raw, form)
        if re.fullmatch(r"[+-]?[0-9]{1,18}", digits) and lowest <= int(digits) <= highest:
            return int(digits)
        raise ValueError(f"expected {form}")

    return parse


def optional_number(highest: int) -> Parser:
    """0 is the same as not set."""
    number = whole_number(0, highest)

    def parse(raw: Raw) -> int | None:
        return number(raw) or None

    return parse


def seconds(lowest: float, highest: float, *, zero_is_off: bool = False) -> Parser:
    form = f"seconds as a number from {lowest:g} to {highest:g}"

    def parse(raw: Raw) -> float | None:
        try:
            number = float(_text(raw, form))
        except ValueError:
            number = float("nan")
        if not lowest <= number <= highest:
            raise ValueError(f"expected {form}")
        return None if zero_is_off and number < 1 else number

    return parse


def one_of(*words: str, aliases: dict[str, str] | None = None) -> Parser:
    form = f"{', '.join(words[:-1])} or {words[-1]}"

    def parse(raw: Raw) -> str:
        word = _text(raw, form).lower()
        word = (aliases or {}).get(word, word)
        if word in words:
            return word
        raise ValueError(f"expected {form}")

    return parse


_codings = one_of("zstd", "gzip", "none")


def compression_kind(raw: Raw) -> str:
    """As in Content-Encoding, where no compression is called identity."""
    kind = _codings(raw)
    return "identity" if kind == "none" else kind


log_level = one_of(
    "error", "warn", "info", "debug", "trace", aliases={"warning": "warn", "critical": "error", "off": "error"}
)


def comma_list(raw: Raw) -> tuple[str, ...]:
    """`a,b, c` or a list. `[]` is the empty list, which is something else than not set."""
    return tuple(piece.strip() for piece in _words(raw, r",", "names with commas between them") if piece.strip())


def word_list(raw: Raw) -> tuple[str, ...]:
    """As comma_list; white space separates as well."""
    return tuple(piece for piece in _words(raw, r"[,\s]+", "names with commas or spaces between them") if piece)


def some_of(*words: str) -> Parser:
    """A list of these words alone, in any letter case. None of them at all is an error."""
    form = f"words of {', '.join(words)} with spaces between them"

    def parse(raw: Raw) -> Partly | None:
        found = [word.lower() for word in word_list(raw)]
        known = tuple(word for word in words if word in found)
        if not found:
            return None
        if not known:
            raise ValueError(f"expected {form}")
        return Partly(known, () if set(found) <= set(words) else (f"expected {form}",))

    return parse


def tags(raw: Raw) -> tuple[tuple[str, str], ...]:
    """`team:web,env:prod version:1.0`: split at commas and white space; each at its first colon. A tag may have no value."""
    pairs: dict[str, str] = {}
    for piece in _words(raw, r"[,\s]+", "tags like key:value with commas or spaces between them"):
        key, _, rest = piece.strip().partition(":")
        if key:
            pairs[key] = rest
    return tuple(pairs.items())


def _words(raw: Raw, separator: str, form: str) -> list[str]:
    """As `_pieces`; `[a, 'b']` is a list too, as in YAML. In patterns brackets have a meaning of their own."""
    if isinstance(raw, str) and _in_brackets(raw) and _json_strings(raw) is None:
        inner = raw.strip()[1:-1]
        if re.search(r"[][{}]", inner):
            raise ValueError(f"expected {form}, not a list of lists or maps")
        return [
            re.sub(r"""^(['"])(.*)\1$""", r"\2", piece.strip(), flags=re.DOTALL) for piece in re.split(separator, inner)
        ]
    return _pieces(raw, separator, form)


def _pieces(raw: Raw, separator: str, form: str) -> list[str]:
    if isinstance(raw, dict):
        raise ValueError(f"expected {form}, not a map")
    if isinstance(raw, str):
        written = _json_strings(raw)
        if written is not None:
            return written
        return [] if raw.strip() == "{}" else re.split(separator, raw)
    pieces = [piece for piece in raw if piece is not None]
    if not all(isinstance(piece, str) for piece in pieces):
        raise ValueError(f"expected {form}, not a list of lists or maps")
    return pieces


def _in_brackets(text: str) -> bool:
    bare = text.strip()
    return bare[:1] == "[" and bare[-1:] == "]"


_json_list = msgspec.json.Decoder(list[str])


def _json_strings(text: str) -> list[str] | None:
    """What is written as JSON, as the Agent takes some lists."""
    if _in_brackets(text):
        with suppress(msgspec.DecodeError):
            return _json_list.decode(text.strip())
    return None


def url(raw: Raw) -> str | None:
    """An http or https URL without query; a host alone gets `https://`. Trailing slashes are cut."""
    form = "a URL like https://host or http://127.0.0.1:8080"
    address = _text(raw, form).rstrip("/")
    if not address:
        return None
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
        address = f"https://{address}"
    found = re.fullmatch(r"https?://([^\s/?#]+)(?:/[^\s?#\x00-\x1f\x7f]*)?", address)
    if found is not None and _is_address(found[1]):
        return address
    raise ValueError(f"expected {form}")


def whole_url(raw: Raw) -> str | None:
    """An http or https URL that is complete: credentials, path, closing slash and query stay as they were written."""
    form = "a complete URL like http://worker:8282/logs?source=lambda"
    address = _text(raw, form)
    if not address:
        return None
    scheme, _, rest = address.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    is_possible = re.fullmatch(r"[!-~]+", rest) and _is_address(authority.rpartition("@")[2])
    if scheme.lower() in ("http", "https") and is_possible:
        return f"{scheme.lower()}://{rest}"
    raise ValueError(f"expected {form}")


def _is_address(text: str) -> bool:
    found = re.fullmatch(r"(.*?)(?::([0-9]{1,5}))?", text)
    return found is not None and is_host(found[1]) and (found[2] is None or 0 < int(found[2]) < 65536)


def is_host(text: str) -> bool:
    """Whether there can be such a host: a name, an IPv4 address, or an IPv6 address in brackets."""
    try:
        if text[:1] == "[" and text[-1:] == "]":
            IPv6Address(text[1:-1])
            return "%" not in text
        if re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}", text):
            IPv4Address(text)
            return True
        return len(text) <= 253 and all(_is_label(each) for each in text.removesuffix(".").split("."))
    except ValueError:
        return False


def _is_label(text: str) -> bool:
    """Raises ValueError for what stands for other letters (`xn--...`) and cannot be read."""
    if text[:4].lower() == "xn--" and not text[4:].encode("ascii").decode("punycode"):
        return False
    return re.fullmatch(r"[A-Za-z0-9_-]{1,63}", text) is not None


def site(raw: Raw) -> str | None:
    form = "a Datadog site like datadoghq.com"
    name = _text(raw, form).rstrip("/").removeprefix("https://").removeprefix("http://")
    if not name:
        return None
    if re.fullmatch(r"[a-zA-Z0-9._:-]+", name) and _is_address(name):
        return name
    raise ValueError(f"expected {form}")


def namespace(raw: Raw) -> str | None:
    form = "a letter, then letters, digits, _ and ."
    name = _text(raw, form)
    if not name:
        return None
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", name):
        return name
    raise ValueError(f"expected {form}")


def strategy(raw: Raw) -> Strategy:
    try:
        return parse_strategy(_text(raw, "a flush strategy"))
    except BadStrategy as error:
        raise ValueError(str(error)) from None


def secret(raw: Raw) -> str | None:
    """White space is never part of a key, though files and consoles like to add it."""
    key = re.sub(r"\s+", "", _text(raw, "one key"))
    if not re.fullmatch(r"[!-~]*", key):
        raise ValueError("expected printable ASCII characters")
    return key or None


def proxy(raw: Raw) -> str | None:
    """A proxy's URL, its credentials included; a host alone gets `http://`."""
    form = "a proxy like http://host:3128 or http://user:password@host:3128"
    address = _text(raw, form)
    if not address:
        return None
    try:
        Proxy(address)
    except ValueError:
        raise ValueError(f"expected {form}") from None
    return (address if "://" in address else f"http://{address}").rstrip("/")


def any_text(raw: Raw) -> str:
    """As `text`, where none is the empty one."""
    return text(raw) or ""


_aggregates = ("max", "min", "median", "avg", "sum", "count")


def aggregates(raw: Raw) -> Partly:
    known = tuple(dict.fromkeys(word for word in word_list(raw) if word in _aggregates))
    unknown = [word for word in word_list(raw) if word not in _aggregates]
    return Partly(known, (f"expected words of {', '.join(_aggregates)}",) if unknown else ())


def percentiles(raw: Raw) -> Partly:
    """Shares like 0.95, as whole percentiles."""
    found: dict[int, None] = {}
    is_bad = False
    for piece in word_list(raw):
        share = float(piece) if re.fullmatch(r"[0-9]{0,3}\.?[0-9]{0,9}", piece) and piece.strip(".") else 0.0
        if 0.01 <= share <= 1:
            found[round(share * 100)] = None
        else:
            is_bad = True
    return Partly(tuple(found), ("expected shares from 0.01 to 1",) if is_bad else ())


def log_rules(raw: Raw) -> Partly:
    return Partly(*parse_rules(raw))


def replace_rules(raw: Raw) -> Partly:
    return Partly(*parse_replace_rules(raw))


def tag_rules(raw: Raw) -> Partly:
    """`key:value key2`: split at white space; a list of the file may have spaces in its entries."""
    return Partly(*parse_tag_rules(_entries(raw), are_patterns=False))


def tag_patterns(raw: Raw) -> Partly:
    return Partly(*parse_tag_rules(_entries(raw), are_patterns=True))


def patterns(raw: Raw) -> Partly:
    """Regular expressions with commas or line breaks between them; one that has such itself is written in double quotes."""
    if isinstance(raw, str):
        entries = [] if raw.strip() == "[]" else _quoted_list(raw)
    else:
        entries = _pieces(raw, ",", "regular expressions")
    return Partly(*parse_patterns([each.strip() for each in entries if each.strip()]))


def _quoted_list(text: str) -> list[str]:
    from csv import Error, field_size_limit, reader
    from io import StringIO

    try:
        return [each for line in reader(StringIO(text, newline=""), skipinitialspace=True) for each in line]
    except Error:
        raise ValueError(f"expected regular expressions of at most {field_size_limit()} characters") from None


def _entries(raw: Raw) -> list[str]:
    return [each for each in _pieces(raw, r"\s+", "tags like key:value with spaces between them") if each.strip()]
