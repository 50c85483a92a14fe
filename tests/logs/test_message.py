"""What JSON messages carry. Expected values: bottlecap's `tests/logs_integration_test.rs` and `logs/lambda/processor.rs`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.events import LogLine
from ddx_logs.from_telemetry import read_line
from ddx_logs.message import max_tags_length, read_object, read_text
from ddx_logs.record import Status

unchanged = None

vectors: list[tuple[str, str | None, Status | None, str]] = [
    (
        '{"message":{"custom_details": "my-structured-message",'
        '"ddtags":"added_tag1:added_value1,added_tag2:added_value2"}}',
        '{"custom_details":"my-structured-message"}',
        None,
        "added_tag1:added_value1,added_tag2:added_value2",
    ),
    ('{"message":{"custom_details":"my-structured-message"},"my_other_details":"included"}', unchanged, None, ""),
    *(
        (
            f'{{"timestamp":"2025-08-27T10:25:22.244Z","level":"{level}","message":"This is a warning"}}',
            unchanged,
            status,
            "",
        )
        for level, status in (
            ("WARN", Status.WARN),
            ("warning", Status.WARN),
            ("ERROR", Status.ERROR),
            ("err", Status.ERROR),
            ("FATAL", Status.CRITICAL),
            ("Critical", Status.CRITICAL),
            ("DEBUG", Status.DEBUG),
            ("trace", Status.TRACE),
            ("INFO", Status.INFO),
            ("Information", Status.INFO),
        )
    ),
    ('{"message":"No level field here"}', unchanged, None, ""),
    ('{"level":"VERBOSE","message":"Unknown level"}', unchanged, None, ""),
    ('{"level":42,"message":"x"}', unchanged, None, ""),
    ('{"level":null,"message":"x"}', unchanged, None, ""),
    ('{"level":true,"message":"x"}', unchanged, None, ""),
    ('{"status":"error","message":"something failed"}', unchanged, Status.ERROR, ""),
    ('{"level":"WARN","status":"error","message":"both fields"}', unchanged, Status.WARN, ""),
    # A level that says nothing hides no good status (the vendor's extension lets it).
    ('{"level":42,"status":"error"}', unchanged, Status.ERROR, ""),
    ('{"level":"VERBOSE","status":"debug"}', unchanged, Status.DEBUG, ""),
    (
        '{"level":"WARN","message":"warning with tags","ddtags":"env:staging,team:backend"}',
        '{"level":"WARN","message":"warning with tags"}',
        Status.WARN,
        "env:staging,team:backend",
    ),
    ('[{"level":"ERROR"}]', unchanged, None, ""),
    ('"{}"', unchanged, None, ""),
    ("plain text", unchanged, None, ""),
    ("", unchanged, None, ""),
    ("{'level': 'ERROR'}", unchanged, None, ""),
    ('{"level":"ERROR"} and more', unchanged, None, ""),
    (' \t\r\n{"level":"ERROR"}\n', unchanged, Status.ERROR, ""),
    # The keys around the inner object stay (the vendor's extension loses them).
    (
        '{"time": 1, "message": {"text": "x", "ddtags": "a:b"}, "logger": "root"}',
        '{"time":1,"message":{"text":"x"},"logger":"root"}',
        None,
        "a:b",
    ),
    ('{"ddtags":["a:b","c,d"],"message":"x"}', '{"message":"x"}', None, "a:b,c,d"),
    ('{"ddtags":" , ,a:b,,a:b","message":"x"}', '{"message":"x"}', None, "a:b"),
    ('{"ddtags":"","message":"x"}', '{"message":"x"}', None, ""),
    ('{"ddtags":42,"message":"x"}', unchanged, None, ""),
    ('{"ddtags":["a",1],"message":"x"}', unchanged, None, ""),
    ('{"ddtags":7,"message":{"ddtags":"a:b"}}', '{"ddtags":7,"message":{}}', None, "a:b"),
    ('{"message":{"nested":{"ddtags":"a:b"}}}', unchanged, None, ""),
]


@pytest.mark.parametrize(("text", "expected", "status", "tags"), vectors)
def test_message_gives_its_tags_and_status(text: str, expected: str | None, status: Status | None, tags: str) -> None:
    reading = read_text(text)
    assert reading.text == (text if expected is unchanged else expected)
    assert reading.status is status
    assert ",".join(reading.tags) == tags


@pytest.mark.parametrize(
    ("raw", "request_id"),
    [
        ('{"requestId":"test-request-123","message":"Hello World"}', "test-request-123"),
        ('{"AWSRequestId":"a","message":"m"}', "a"),
        ('{"requestId":"r","AWSRequestId":"a"}', "r"),
        ('{"requestId":7,"AWSRequestId":"a"}', "a"),
        ('{"requestId":"","AWSRequestId":"a"}', "a"),
        ('{"requestId":""}', None),
        ('{"requestId":"' + "x" * 300 + '"}', None),
        ('{"message":{"requestId":"r"}}', None),
    ],
)
def test_object_record_names_its_request_id_and_stays_as_it_is(raw: str, request_id: str | None) -> None:
    reading = read_object(msgspec.json.decode(raw))
    assert (reading.text, reading.request_id) == (raw, request_id)


def test_object_record_of_an_extension_names_no_request_id() -> None:
    line = LogLine(time_ns=1, from_extension=True, fields={"requestId": "r"})
    assert read_line(line).request_id is None


def test_object_record_becomes_compact_text_in_its_own_order() -> None:
    assert read_object({"b": [1, 2.5, None], "a": "é"}).text == '{"b":[1,2.5,null],"a":"é"}'


def test_reading_an_object_leaves_it_as_it_was() -> None:
    fields: dict[str, Any] = {"message": {"x": 1, "ddtags": "a:b"}, "y": 2}
    assert read_object(fields).text == '{"message":{"x":1},"y":2}'
    assert fields == {"message": {"x": 1, "ddtags": "a:b"}, "y": 2}


def test_tags_are_found_however_their_key_is_written() -> None:
    reading = read_text('{"\\u0064dtags":"a:b","x":1}')
    assert (reading.text, reading.tags) == ('{"x":1}', ("a:b",))


def test_deeply_nested_text_is_kept_as_it_is() -> None:
    text = '{"level":"ERROR","x":' + "[" * 50_000 + "]" * 50_000 + "}"
    assert read_text(text).text == text


@pytest.mark.parametrize(
    "tags", ["k:" + "t" * 30_000, [f"{number:099}" for number in range(1000)]], ids=["one", "many"]
)
def test_tags_too_long_to_be_lifted_stay_in_the_text(tags: object) -> None:
    text = msgspec.json.encode({"ddtags": tags, "m": 1}).decode()
    assert (read_text(text).text, read_text(text).tags) == (text, ())
    assert len(text) > max_tags_length


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["level", "status", "message", "ddtags", "requestId", "x"]) | st.text(max_size=5), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(json_values)
def test_any_json_value_is_read_and_loses_nothing_but_its_tags(value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    reading = read_text(text)
    if not reading.tags and reading.text == text:
        return
    expected = msgspec.json.decode(text)
    if isinstance(expected.get("ddtags"), (str, list)):
        del expected["ddtags"]
    else:
        del expected["message"]["ddtags"]
        if list(expected) == ["message"]:
            expected = expected["message"]
    assert msgspec.json.decode(reading.text) == expected


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(["level", "status", "message", "ddtags", "requestId"]), json_values))
def test_object_record_is_read_like_the_same_object_as_text(fields: dict[str, Any]) -> None:
    raw = msgspec.json.encode(fields)
    from_object, from_text = read_object(msgspec.json.decode(raw)), read_text(raw.decode())
    assert (from_object.status, from_object.tags, from_object.text) == (
        from_text.status,
        from_text.tags,
        from_text.text,
    )


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec=None)) | st.text('{}[]":,\\ ulevstatdg0'))
def test_any_text_is_read_without_failing(text: str) -> None:
    reading = read_text(text)
    if not text.strip(" \t\r\n").startswith("{"):
        assert reading.text == text
