"""The surface of JSON. msgspec says what the parts of any array and object are; what it cannot read is written out here."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.events.cut_json import cut_json

texts = st.text(max_size=6) | st.text('"\\[]{},:', max_size=6)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
styles = st.sampled_from([0, 1, 3])
"""How far each level is indented; 0: not at all, everything on one line."""


def written(value: Any, indent: int) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=indent)


@settings(max_examples=100)
@given(st.lists(values, max_size=6), styles)
def test_array_is_cut_into_its_elements(array: list[Any], indent: int) -> None:
    text = written(array, indent)
    assert cut_json(text) == [bytes(raw) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]


@settings(max_examples=100)
@given(st.dictionaries(texts, values, max_size=6), styles)
def test_object_is_cut_into_its_members(fields: dict[str, Any], indent: int) -> None:
    members = [msgspec.json.decode(b"{%b}" % member) for member in cut_json(written(fields, indent))]
    assert members == [{key: value} for key, value in fields.items()]


def test_depth_and_white_space_do_not_matter() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert cut_json(b" \r\n[ 1 ,\t%b\n] " % deep) == [b"1", deep]


@pytest.mark.parametrize(
    "text", [b"", b"7", b'"[]"', b"[", b"[1", b"[1]]", b"[] []", b'["]', b'{"a":"\\"}', b"[[]", b"]["]
)
def test_what_is_no_array_and_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="array"):
        cut_json(text)


@settings(max_examples=100)
@given(st.binary(max_size=30) | st.text('[]{}",\\1 ', max_size=20).map(str.encode))
def test_anything_is_cut_or_refused(text: bytes) -> None:
    try:
        parts = cut_json(text)
    except ValueError:
        return
    assert sum(map(len, parts)) <= len(text)
