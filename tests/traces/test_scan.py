"""MessagePack token by token, against msgspec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_traces.scan import all_strings, has_more_tokens, mend_strings, tokens

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.binary(max_size=300)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=20,
)  # fmt: skip


def strings_in(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:  # pyright: ignore[reportUnknownVariableType]
                yield from strings_in(each)
        case dict():
            for key, each in value.items():  # pyright: ignore[reportUnknownVariableType]
                yield key
                yield from strings_in(each)
        case _:
            pass


@settings(max_examples=40)
@given(values)
def test_tokens_cover_the_bytes_and_strings_come_in_order(value: Any) -> None:
    encoded = msgspec.msgpack.encode(value)
    assert [each for each in all_strings(encoded) if each is not None] == list(strings_in(value))
    assert mend_strings(encoded) == encoded
    count = len(list(tokens(encoded)))
    assert not has_more_tokens(encoded, count)
    assert has_more_tokens(encoded, count - 1)


def test_every_form_has_its_length() -> None:
    forms = b"".join(
        [
            bytes([0x00, 0x7F, 0xE0, 0xFF, 0xC0, 0xC2, 0xC3, 0x80, 0x90]),
            b"\xc4\x02ab\xc5\x00\x01a\xc6\x00\x00\x00\x01a",
            b"\xc7\x02\x05ab\xc8\x00\x01\x05a\xc9\x00\x00\x00\x01\x05a",
            b"\xca" + bytes(4) + b"\xcb" + bytes(8) + b"\xcc\x00\xcd\x00\x00\xce" + bytes(4) + b"\xcf" + bytes(8),
            b"\xd0\x00\xd1\x00\x00\xd2" + bytes(4) + b"\xd3" + bytes(8),
            b"".join(bytes([0xD4 + power, 5]) + bytes(1 << power) for power in range(5)),
            b"\xd9\x01a\xda\x00\x01b\xdb\x00\x00\x00\x01c\xa1d",
            b"\xdc\x00\x00\xdd\x00\x00\x00\x00\xde\x00\x00\xdf\x00\x00\x00\x00",
        ]
    )
    found = list(tokens(forms))
    assert len(found) == 9 + 3 + 3 + 6 + 4 + 5 + 4 + 4
    assert found[-1][2] == len(forms)
    assert [each for each in all_strings(forms) if each is not None] == ["a", "b", "c", "d"]


def test_broken_strings_are_mended_at_any_depth() -> None:
    encoded = msgspec.msgpack.encode([1, {"k": ["good", "xxxx", 2]}, "yy"])
    broken = encoded.replace(b"xxxx", b"\xff\xffab").replace(b"yy", b"\xe2\x82")
    assert msgspec.msgpack.decode(mend_strings(broken)) == [1, {"k": ["good", "\ufffd\ufffdab", 2]}, "\ufffd"]


def test_unused_byte_begins_no_value() -> None:
    with pytest.raises(MalformedInput):
        list(tokens(b"\xc1"))
