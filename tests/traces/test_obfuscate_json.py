"""JSON bodies; the first vectors are those of libdatadog, libdd-trace-obfuscation (json.rs)."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_traces.obfuscate.json_body import JsonObfuscator
from ddx_traces.obfuscate.sql import obfuscate_sql


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"query":"', '{"query":"?"...'),
        (
            '{"first json": "valid"} {"second json": "unfinished',
            '{"first json":"?"} {"second json":"?"...',
        ),
        ('{"object":["not","a","query"]}', '{"object":["?","?","?"]}'),
        ("", ""),
        ("  ", ""),
        ("{}", "{}"),
        (' { "a" : { "b" : [ ] , "c" : null } } ', '{"a":{"b":[],"c":"?"}}'),
        ("1 true [2]", '"?" "?" ["?"]'),
        ("{", "{..."),
        ('{"a"', '{"a"...'),
        ('{"a":tru', '{"a":...'),
        ('{"a":01}', '{"a":...'),
        ('{"a":1,}', '{"a":"?",...'),
        ("nonsense", "..."),
        ("[1}", '["?"...'),
    ],
)
def test_values_become_question_marks(text: str, expected: str) -> None:
    assert JsonObfuscator().apply(text) == expected


def test_some_keys_keep_their_values_and_some_hold_queries() -> None:
    obfuscator = JsonObfuscator(("hello",), ("query",), obfuscate_sql)
    body = '{"query":"select * from table where id = 2","hello":"world","hi":"there"}'
    assert obfuscator.apply(body) == '{"query":"select * from table where id = ?","hello":"world","hi":"?"}'
    assert obfuscator.apply('{"hello":{"a":[1,"x"]},"b":1}') == '{"hello":{"a":[1,"x"]},"b":"?"}'
    assert obfuscator.apply('{"query":["select 1"],"x":{"query":"select \\"a\\" + 1"}}') == (
        '{"query":["?"],"x":{"query":"select a + ?"}}'
    )


def test_depth_is_bounded() -> None:
    assert JsonObfuscator().apply("[" * 100_000).endswith("[...")


documents = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: hidden(each) for key, each in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [hidden(each) for each in cast(list[Any], value)]
    return "?"


@given(documents, st.booleans())
def test_what_is_json_stays_json_of_the_same_form(document: Any, ascii_only: bool) -> None:
    written = JsonObfuscator().apply(json.dumps(document, ensure_ascii=ascii_only))
    assert json.loads(written) == hidden(document)


@given(documents, st.integers(min_value=0, max_value=200))
def test_a_cut_document_tells_no_values(document: Any, end: int) -> None:
    text = json.dumps({"a": "secret-1", "b": document, "c": ["secret-2"]})[:end]
    written = JsonObfuscator().apply(text)
    assert "secret" not in written


@given(st.text(st.sampled_from('{}[]":,\\ 1eE+-.truefalsn'), max_size=60) | st.text(max_size=40))
def test_any_text_gives_a_text(text: str) -> None:
    assert isinstance(JsonObfuscator(("t",), ("r",)).apply(text), str)
