"""Messages of the Lambda APIs: the published shapes are read, anything else costs itself alone."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.errors import LifecycleError, MalformedInput
from ddx_core.events import (
    ExtensionState,
    InitMetrics,
    InitReport,
    InitRuntimeDone,
    InitStart,
    Invoke,
    LogLine,
    LogsDropped,
    Report,
    ReportMetrics,
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    RuntimeDone,
    RuntimeDoneMetrics,
    Shutdown,
    SpanTiming,
    Start,
    TelemetryEvent,
    TelemetrySubscription,
    parse_next,
    parse_telemetry,
)

time_text, time_ns = "2022-10-12T00:00:15.064Z", 1665532815_064_000_000
request_id = "459921b5-681c-4a96-beb0-81e0aa586026"
trace = {
    "type": "X-Amzn-Trace-Id",
    "value": "Root=1-5f35ae12-0c0fec141ab77a00bc047aa2;Parent=2be948a625588e32;Sampled=1",
}


def event(kind: str, record: Any) -> dict[str, Any]:
    return {"time": time_text, "type": kind, "record": record}


def read_one(kind: str, record: Any) -> TelemetryEvent:
    batch = parse_telemetry(json.dumps([event(kind, record)]).encode())
    assert not batch.skipped
    (parsed,) = batch.events
    return parsed


# Shapes published in the "Lambda Telemetry API event schema reference", and the cases in which fields are left out.
vectors: list[tuple[str, Any, TelemetryEvent]] = [
    ("function", "datadog <3 serverless", LogLine(time_ns=time_ns, text="datadog <3 serverless")),
    ("function", {"hello": "world"}, LogLine(time_ns=time_ns, fields={"hello": "world"})),
    ("extension", "datadog <3 serverless", LogLine(time_ns=time_ns, from_extension=True, text="datadog <3 serverless")),
    (
        "platform.initStart",
        {"initializationType": "on-demand", "phase": "init"},
        InitStart(time_ns=time_ns, initialization_type="on-demand", phase="init"),
    ),
    (
        "platform.initStart",
        {
            "initializationType": "on-demand",
            "phase": "init",
            "runtimeVersion": "nodejs:20.v22",
            "runtimeVersionArn": "arn:aws:lambda:us-east-1::runtime:da57",
            "functionName": "hello-world",
            "functionVersion": "$LATEST",
        },
        InitStart(
            time_ns=time_ns,
            runtime_version="nodejs:20.v22",
            runtime_version_arn="arn:aws:lambda:us-east-1::runtime:da57",
        ),
    ),
    (
        "platform.initRuntimeDone",
        {"initializationType": "on-demand", "status": "success"},
        InitRuntimeDone(time_ns=time_ns, status="success"),
    ),
    (
        "platform.initReport",
        {"initializationType": "on-demand", "metrics": {"durationMs": 500.0}, "phase": "init"},
        InitReport(time_ns=time_ns, phase="init", metrics=InitMetrics(duration_ms=500.0)),
    ),
    ("platform.restoreStart", {}, RestoreStart(time_ns=time_ns)),
    ("platform.restoreRuntimeDone", {"status": "success"}, RestoreRuntimeDone(time_ns=time_ns)),
    (
        "platform.restoreReport",
        {"status": "success", "metrics": {"durationMs": 150.5}},
        RestoreReport(time_ns=time_ns, metrics=InitMetrics(duration_ms=150.5)),
    ),
    (
        "platform.restoreReport",
        {"status": "failure", "errorType": "RestoreError"},
        RestoreReport(time_ns=time_ns, status="failure", error_type="RestoreError"),
    ),
    (
        "platform.start",
        {"requestId": request_id, "version": "$LATEST", "tracing": {"spanId": "54565fb41ac79632", **trace}},
        Start(time_ns=time_ns, request_id=request_id, version="$LATEST"),
    ),
    (
        "platform.runtimeDone",
        {
            "requestId": request_id,
            "status": "success",
            "tracing": trace,
            "spans": [
                {"name": "responseLatency", "start": "2022-10-21T14:05:03.165Z", "durationMs": 2598.0},
                {"name": "responseDuration", "start": "2022-10-21T14:05:05.763Z", "durationMs": 0.0},
            ],
            "metrics": {"durationMs": 2599.0, "producedBytes": 8},
        },
        RuntimeDone(
            time_ns=time_ns,
            request_id=request_id,
            metrics=RuntimeDoneMetrics(duration_ms=2599.0, produced_bytes=8),
            spans=(
                SpanTiming(name="responseLatency", start="2022-10-21T14:05:03.165Z", duration_ms=2598.0),
                SpanTiming(name="responseDuration", start="2022-10-21T14:05:05.763Z", duration_ms=0.0),
            ),
        ),
    ),
    (
        "platform.runtimeDone",
        {"requestId": request_id, "status": "timeout", "metrics": {"durationMs": 52.56, "producedBytes": 0}},
        RuntimeDone(
            time_ns=time_ns,
            request_id=request_id,
            status="timeout",
            metrics=RuntimeDoneMetrics(duration_ms=52.56, produced_bytes=0),
        ),
    ),
    (
        "platform.runtimeDone",
        {"requestId": request_id, "status": "failure", "errorType": "Runtime.ExitError"},
        RuntimeDone(time_ns=time_ns, request_id=request_id, status="failure", error_type="Runtime.ExitError"),
    ),
    (
        "platform.report",
        {
            "requestId": request_id,
            "metrics": {
                "durationMs": 2599.4,
                "billedDurationMs": 2600,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 94,
                "initDurationMs": 549.04,
            },
            "status": "success",
        },
        Report(
            time_ns=time_ns,
            request_id=request_id,
            metrics=ReportMetrics(
                duration_ms=2599.4,
                billed_duration_ms=2600,
                memory_size_mb=128,
                max_memory_used_mb=94,
                init_duration_ms=549.04,
            ),
        ),
    ),
    (
        "platform.report",
        {
            "requestId": "13d1305b-a2f5-440c-bfbe-686ccff3d3e0",
            "status": "success",
            "metrics": {"durationMs": 1.148},
            "spans": [
                {"name": "responseLatency", "start": "2025-09-19T19:36:50.880Z", "durationMs": 0.847},
                {"name": "responseDuration", "start": "2025-09-19T19:36:50.880Z", "durationMs": 0.127},
            ],
        },
        Report(
            time_ns=time_ns,
            request_id="13d1305b-a2f5-440c-bfbe-686ccff3d3e0",
            metrics=ReportMetrics(duration_ms=1.148),
            spans=(
                SpanTiming(name="responseLatency", start="2025-09-19T19:36:50.880Z", duration_ms=0.847),
                SpanTiming(name="responseDuration", start="2025-09-19T19:36:50.880Z", duration_ms=0.127),
            ),
        ),
    ),
    (
        "platform.extension",
        {"name": "my-extension", "state": "Ready", "events": ["SHUTDOWN", "INVOKE"]},
        ExtensionState(time_ns=time_ns, name="my-extension", state="Ready", events=("SHUTDOWN", "INVOKE")),
    ),
    (
        "platform.telemetrySubscription",
        {"name": "my-extension", "state": "Subscribed", "types": ["platform", "function"]},
        TelemetrySubscription(time_ns=time_ns, name="my-extension", state="Subscribed", types=("platform", "function")),
    ),
    (
        "platform.logsDropped",
        {"reason": "BufferFull", "droppedRecords": 1, "droppedBytes": 1024},
        LogsDropped(time_ns=time_ns, reason="BufferFull", dropped_records=1, dropped_bytes=1024),
    ),
]


@pytest.mark.parametrize(("kind", "record", "expected"), vectors)
def test_every_event_of_the_catalogue_is_read(kind: str, record: Any, expected: TelemetryEvent) -> None:
    assert read_one(kind, record) == expected


@pytest.mark.parametrize(("kind", "record", "expected"), [each for each in vectors if isinstance(each[1], dict)])
def test_unknown_fields_are_ignored(kind: str, record: dict[str, Any], expected: TelemetryEvent) -> None:
    if isinstance(expected, LogLine):
        return
    assert read_one(kind, {**record, "newInTheFuture": {"a": [1]}, "timeNs": 5}) == expected


@pytest.mark.parametrize(
    ("kind", "record", "expected"), [each for each in vectors if each[0].startswith("platform.") and each[1]]
)
def test_null_is_absent_and_whole_numbers_may_have_a_fraction_of_zero(
    kind: str, record: dict[str, Any], expected: TelemetryEvent
) -> None:
    def written_otherwise(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: written_otherwise(value[key]) for key in cast("dict[str, Any]", value)}
        return float(value) if isinstance(value, int) else value

    absent = {"errorType": None, "spans": None, "version": None, "types": None, "events": None, "reason": None}
    assert read_one(kind, {**absent, **written_otherwise(record)}) == expected


@pytest.mark.parametrize("metrics", [{}, {"durationMs": None}, {"durationMs": None, "producedBytes": None}])
def test_an_end_without_measured_durations_is_an_end(metrics: dict[str, Any]) -> None:
    parsed = read_one("platform.runtimeDone", {"requestId": "r", "status": "timeout", "metrics": metrics})
    assert parsed == RuntimeDone(time_ns=time_ns, request_id="r", status="timeout")


@pytest.mark.parametrize(
    ("status", "error_type", "expected"),
    [
        ("success", None, False),
        ("error", None, False),
        ("error", "Function.Unknown", False),
        ("error", "Runtime.Unknown", False),  # what Lambda calls a handler's error of any other name
        ("error", "Runtime.MarshalError", False),
        ("error", "Runtime.ExitError", True),
        ("error", "Runtime.OutOfMemory", True),
        ("error", "Extension.Crash", True),
        ("failure", "Sandbox.Failure", True),
        ("timeout", None, True),
    ],
)
def test_an_end_tells_whether_the_sandbox_ends_with_it(status: str, error_type: str | None, expected: bool) -> None:
    assert RuntimeDone(request_id="r", status=status, error_type=error_type).ends_sandbox is expected


def test_the_kind_of_report_shows_in_its_metrics() -> None:
    on_demand, managed = (parsed for kind, _, parsed in vectors if kind == "platform.report")
    assert isinstance(on_demand, Report)
    assert isinstance(managed, Report)
    assert on_demand.metrics.is_on_demand
    assert not managed.metrics.is_on_demand


def test_one_bad_event_costs_itself_alone() -> None:
    good = event("platform.start", {"requestId": "r"})
    body = json.dumps(
        [
            good,
            event("platform.brandNew", {}),
            event("platform.start", {"requestId": 5}),
            event("platform.start", None),
            {"time": "yesterday", "type": "function", "record": "x"},
            event("function", 7),
            {"type": "function"},
            "no event",
            event("function", "line"),
            good,
        ]
    ).encode()
    batch = parse_telemetry(body)
    assert [type(each) for each in batch.events] == [Start, LogLine, Start]
    assert dict(batch.skipped) == {
        "unknown:platform.brandNew": 1,
        "malformed:platform.start": 2,
        "malformed:function": 2,
        "malformed": 2,
    }


def test_events_keep_their_own_times() -> None:
    times = ["2022-10-12T00:00:15.064Z", "2022-10-12T00:00:15.064Z", "2022-10-12T00:00:16Z"]
    body = json.dumps([{"time": each, "type": "function", "record": "x"} for each in times]).encode()
    assert [each.time_ns for each in parse_telemetry(body).events] == [time_ns, time_ns, time_ns + 936_000_000]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"cut \uDE00 low"', "cut \ufffd low"),
        (rb'"whole \ud83d\ude00"', "whole 😀"),
        (rb'"\\ud83d is no escape, \ud83d is"', "\\ud83d is no escape, \ufffd is"),
        (b'"bad \xff byte"', "bad \ufffd byte"),
        (b'"bell \x07 and escape \x1b[0m"', "bell \x07 and escape \x1b[0m"),
    ],
)
def test_a_line_cut_within_a_character_is_mended_and_costs_no_other(record: bytes, text: str) -> None:
    start = b'{"time":"2022-10-12T00:00:15.064Z","type":"function","record":'
    batch = parse_telemetry(b"[" + start + record + b"}," + start + b'"next"}]')
    assert [each.text for each in batch.events if isinstance(each, LogLine)] == [text, "next"]
    assert not batch.skipped


def test_an_object_with_bad_bytes_is_mended_too() -> None:
    body = b'[{"time":"2022-10-12T00:00:15.064Z","type":"function","record":{"a":"\xff","b":"\\udc00"}}]'
    (line,) = parse_telemetry(body).events
    assert isinstance(line, LogLine)
    assert line.fields == {"a": "\ufffd", "b": "\ufffd"}


def test_an_object_with_a_number_out_of_range_is_taken_as_the_text_it_came_as() -> None:
    start = b'{"time":"2022-10-12T00:00:15.064Z","type":"function","record":'
    batch = parse_telemetry(b"[" + start + b'{"a": 1e999}},' + start + b'{"b":1}}]')
    assert batch.events == [LogLine(time_ns=time_ns, text='{"a": 1e999}'), LogLine(time_ns=time_ns, fields={"b": 1})]
    assert not batch.skipped


@pytest.mark.parametrize(
    "bad", [b'"time":"\xff","type":"function"', b'"time":"2022-10-12T00:00:15.064Z","type":"\xff"']
)
def test_bad_bytes_about_an_event_cost_that_event_alone(bad: bytes) -> None:
    good = b'{"time":"2022-10-12T00:00:15.064Z","type":"function","record":"good"}'
    batch = parse_telemetry(b"[{" + bad + b',"record":"x"},' + good + b"]")
    assert batch.events == [LogLine(time_ns=time_ns, text="good")]
    assert batch.skipped.total() == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b'"x"', b"\xff", b"[" * 100_000, b"[1,2"])
def test_what_is_no_array_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_telemetry(body)


def test_a_record_nested_without_end_is_skipped_or_refused_but_never_a_crash() -> None:
    deep = b'[{"time":"2022-10-12T00:00:15Z","type":"platform.start","record":' + b"[" * 50_000 + b"]" * 50_000 + b"}]"
    with suppress(MalformedInput):
        assert not parse_telemetry(deep).events


@pytest.mark.parametrize("levels", [2_000, 50_000])
def test_a_line_nested_too_deeply_is_taken_as_the_text_it_came_as_and_costs_no_other(levels: int) -> None:
    deep = '{"a" :' * levels + "1" + "}" * levels
    kinds = [
        ("function", '"before"'),
        ("function", deep),
        ("extension", f" {deep} "),
        ("function", f"[{deep}]"),
        ("platform.start", deep),
        ("platform.start", '{"requestId":"a"}'),
        ("function", '"\\ud800 after"'),
    ]
    head = '{"time":"2022-10-12T00:00:15.064Z"'
    body = ",\n".join(f'{head},"type":"{kind}","record" :{record}}}' for kind, record in kinds)
    batch = parse_telemetry(f"[{body}]".encode())
    assert batch.events == [
        LogLine(time_ns=time_ns, text="before"),
        LogLine(time_ns=time_ns, text=deep),
        LogLine(time_ns=time_ns, from_extension=True, text=deep),
        Start(time_ns=time_ns, request_id="a"),
        LogLine(time_ns=time_ns, text="\ufffd after"),
    ]
    assert batch.skipped == {"malformed": 1, "malformed:platform.start": 1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
# Fields that mean something, with values of any kind.
records = json_values | st.dictionaries(
    st.sampled_from(
        ["requestId", "status", "metrics", "spans", "phase", "initializationType", "name", "events", "droppedRecords"]
    ),
    json_values,
)
kinds = st.sampled_from([*dict.fromkeys(kind for kind, _, _ in vectors), "platform.new"])


@given(st.lists(st.tuples(kinds, records), max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_json_as_record_is_an_event_or_counted(batch: list[tuple[str, Any]]) -> None:
    parsed = parse_telemetry(json.dumps([event(kind, record) for kind, record in batch]).encode())
    assert len(parsed.events) + sum(parsed.skipped.values()) == len(batch)
    for each in parsed.events:
        assert each.time_ns == time_ns


@given(st.binary(max_size=60), st.sampled_from([b"%b", b"[%b]", b'[{"time":%b}]']))
def test_any_bytes_are_a_batch_or_malformed(body: bytes, frame: bytes) -> None:
    with suppress(MalformedInput):
        parse_telemetry(frame % body)


@settings(max_examples=40, deadline=None)
@given(json_values)
def test_any_json_is_a_batch_or_malformed(value: Any) -> None:
    with suppress(MalformedInput):
        parsed = parse_telemetry(json.dumps(value).encode())
        assert isinstance(value, list)
        assert len(parsed.events) + sum(parsed.skipped.values()) == len(value)  # pyright: ignore[reportUnknownArgumentType]


# --- next -------------------------------------------------------------------------------------------------------------


def test_invoke_is_read() -> None:
    body = (
        b'{"eventType":"INVOKE","deadlineMs":676051,"requestId":"3da1f2dc-3222-475e-9205-e2e6c6318895",'
        b'"invokedFunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:ExtensionTest",'
        b'"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-5f35ae12-0c0fec141ab77a00bc047aa2;Sampled=1"}}'
    )
    assert parse_next(body) == Invoke(
        request_id="3da1f2dc-3222-475e-9205-e2e6c6318895",
        deadline_ms=676051,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:ExtensionTest",
    )


@pytest.mark.parametrize("reason", ["spindown", "SPINDOWN", "Timeout", "FAILURE", "something new"])
def test_shutdown_is_read_in_any_letter_case(reason: str) -> None:
    body = json.dumps({"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": 676051}).encode()
    assert parse_next(body) == Shutdown(reason=reason.lower(), deadline_ms=676051)


@pytest.mark.parametrize(
    "body",
    [
        b'{"eventType":"SHUTDOWN"}',
        b'{"eventType":"SHUTDOWN","shutdownReason":null}',
        b'{"eventType":"SHUTDOWN","shutdownReason":"timeout","deadlineMs":"soon"}',
        b'{"eventType":"SHUTDOWN","shutdownReason":"\xff"}',
    ],
)
def test_a_shutdown_is_a_shutdown_whatever_else_it_says(body: bytes) -> None:
    assert parse_next(body) == Shutdown(reason="unknown", deadline_ms=0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"not json",
        b"{}",
        b'{"eventType":7}',
        b'{"eventType":"\xff"}',
        b'{"eventType":"OTHER"}',
        b'{"eventType":"INVOKE"}',
        b'{"eventType":"INVOKE","requestId":"r"}',
        b'{"eventType":"INVOKE","requestId":null,"deadlineMs":1}',
        b'{"eventType":"INVOKE","x":' + b"[" * 100_000,
    ],
)
def test_any_other_answer_to_next_is_an_error(body: bytes) -> None:
    with pytest.raises(LifecycleError):
        parse_next(body)


@settings(max_examples=40, deadline=None)
@given(json_values, json_values, st.sampled_from(["INVOKE", "SHUTDOWN", "OTHER"]))
def test_no_answer_to_next_raises_anything_else(value: Any, other: Any, kind: str) -> None:
    fields = {"eventType": kind, "requestId": value, "deadlineMs": other, "shutdownReason": value}
    with suppress(LifecycleError):
        assert isinstance(parse_next(msgspec.json.encode(fields)), Invoke | Shutdown)
