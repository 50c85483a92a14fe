"""JSON cut into its parts at the surface, however deep it is nested: decoders go down by recursion and have an end. Pure."""

from __future__ import annotations

import re

# Strings are passed over whole, whatever they hold. A quotation mark alone begins one that does not end.
_token = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_white_space = b" \t\r\n"


def cut_json(text: bytes) -> list[bytes]:
    """The elements of an array, or the members of an object (`"key": value`), as they are written.

    They may be no JSON themselves. Raises ValueError for text that is neither array nor object or does not end where that ends.
    """
    text = text.strip(_white_space)
    if text[:1] not in (b"[", b"{"):
        raise ValueError("neither array nor object")
    parts: list[bytes] = []
    depth = begin = 0
    for token in _token.finditer(text):
        match token[0]:
            case b"[" | b"{":
                depth += 1
                if depth == 1:
                    begin = token.end()
            case b"]" | b"}":
                depth -= 1
                if not depth:
                    if token.end() < len(text):
                        break
                    last = text[begin : token.start()].strip(_white_space)
                    return [*parts, last] if parts or last else []
            case b"," if depth == 1:
                parts.append(text[begin : token.start()].strip(_white_space))
                begin = token.end()
            case b'"':
                break
            case _:
                pass
    raise ValueError("the array or object does not end where the text does")
