"""The bytes of items and arrays. The item is that of bottlecap's `logs/lambda/mod.rs` (IntakeLog) as serde_json writes it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.tags import TagSet
from ddx_logs.encode import ItemEncoder, array, cut_json_text, json_text, truncation_marker
from ddx_logs.record import LogRecord, Status

time_ns = 1_666_361_103_165_999_999
tags = TagSet([("test", "tags"), ("env", "dev")])


def encoder(*, max_item_bytes: int = 1 << 20, base: TagSet = tags) -> ItemEncoder:
    return ItemEncoder(arn="Arn:Test", service="Test-Service", tags=base, max_item_bytes=max_item_bytes)


def test_item_has_exactly_these_bytes() -> None:
    item = encoder().encode(LogRecord('START "x" é\n', time_ns), "request-1")
    assert (
        item
        == (
            '{"message":{"message":"START \\"x\\" é\\n","lambda":{"arn":"arn:test","request_id":"request-1"},'
            '"timestamp":1666361103165,"status":"info"},"hostname":"arn:test","service":"test-service",'
            '"ddtags":"test:tags,env:dev","ddsource":"lambda"}'
        ).encode()
    )


def test_unknown_request_id_is_null_and_never_that_of_the_item_before() -> None:
    items = encoder()
    assert b'"request_id":"a"}' in items.encode(LogRecord("x", time_ns), "a")
    assert b'"request_id":null}' in items.encode(LogRecord("x", time_ns), None)
    assert b'"request_id":"b"}' in items.encode(LogRecord("x", time_ns), "b")


@pytest.mark.parametrize("status", list(Status))
def test_each_status_is_written(status: Status) -> None:
    assert f'"status":"{status}"}}'.encode() in encoder().encode(LogRecord("x", time_ns, status), None)


def test_lifted_tags_are_appended() -> None:
    record = LogRecord("x", time_ns, tags=("a:b", 'c:"d"'))
    assert b'"ddtags":"test:tags,env:dev,a:b,c:\\"d\\""' in encoder().encode(record, None)
    assert b'"ddtags":"a:b,c:\\"d\\""' in encoder(base=TagSet()).encode(record, None)


def test_characters_are_escaped_as_the_vendor_escapes_them() -> None:
    text = '\x00\x01\x08\x0c\x1f\n\r\t"\\/\x7f\u2028'
    assert json_text(text) == '"\\u0000\\u0001\\b\\f\\u001f\\n\\r\\t\\"\\\\/\x7f\u2028"'.encode()


def test_lone_surrogate_becomes_a_question_mark() -> None:
    assert json_text("a\ud800b") == b'"a?b"'


def test_item_of_the_largest_size_is_left_alone_and_one_byte_more_is_cut() -> None:
    items = encoder(max_item_bytes=1000)
    frame = len(items.encode(LogRecord("", time_ns), None))
    fits = items.encode(LogRecord("x" * (1000 - frame), time_ns), None)
    assert len(fits) == 1000
    assert items.truncated == 0
    cut = items.encode(LogRecord("x" * (1001 - frame), time_ns), None)
    assert len(cut) == 1000
    assert items.truncated == 1
    assert msgspec.json.decode(cut)["message"]["message"].endswith("x" + truncation_marker.decode())


@settings(max_examples=40, deadline=None)
@given(
    st.text('\\"\n\x00\x1faé€😀u0', min_size=1, max_size=60),
    st.integers(min_value=0, max_value=200),
)
def test_cut_text_is_valid_json_within_the_limit_and_a_prefix(text: str, max_bytes: int) -> None:
    whole = json_text(text)
    cut = cut_json_text(whole, min(max_bytes, len(whole) - 1))
    decoded = msgspec.json.decode(cut, type=str)
    assert decoded.endswith(truncation_marker.decode())
    kept = decoded.removesuffix(truncation_marker.decode())
    assert text.startswith(kept)
    assert len(cut) <= max(max_bytes, len(truncation_marker) + 2)
    # Not more is cut than must be: one more character would not have fitted.
    if len(kept) < len(text) and max_bytes < len(whole):
        longer = json_text(text[: len(kept) + 1] + truncation_marker.decode())
        assert len(longer) > max_bytes


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec=None)), st.text(max_size=9), st.integers(min_value=300, max_value=500))
def test_any_text_makes_a_valid_item_within_the_limit(text: str, request_id: str, limit: int) -> None:
    item = encoder(max_item_bytes=limit).encode(LogRecord(text, time_ns), request_id)
    assert len(item) <= limit
    assert msgspec.json.decode(item)["message"]["lambda"]["request_id"] == request_id


def test_array_is_items_with_commas_in_brackets() -> None:
    assert array([b"{}", b"1"]) == b"[{},1]"
