"""Telemetry records in AWS's form (vectors from internal/lambda/interop/events_api_test.go and the Telemetry API reference)."""

from __future__ import annotations

from typing import Any

import msgspec

from ddx_agent.local.telemetry import events


def decoded(event: events.Event, *, objects: bool = True) -> dict[str, Any]:
    return msgspec.json.decode(event.encode(objects=objects))


def done(**changes: Any) -> events.Record:
    facts: dict[str, Any] = {
        "request_id": "r",
        "status": "success",
        "error_type": None,
        "seconds": 0.05256,
        "produced_bytes": 100,
        "spans": [],
        "trace": None,
    }
    return decoded(events.platform_event(0.0, "runtimeDone", events.runtime_done(**(facts | changes))))["record"]


def test_envelope_has_time_type_and_record() -> None:
    event = events.platform_event(1666361105.7649, "start", events.start(request_id="r", version="$LATEST", trace=None))
    assert event.encode(objects=True) == (
        b'{"time":"2022-10-21T14:05:05.764Z","type":"platform.start","record":{"requestId":"r","version":"$LATEST"}}'
    )


def test_runtime_done_has_what_applies_and_nothing_else() -> None:
    assert done() == {
        "requestId": "r",
        "status": "success",
        "metrics": {"durationMs": 52.56, "producedBytes": 100},
    }
    assert done(produced_bytes=0)["metrics"] == {"durationMs": 52.56, "producedBytes": 0}
    assert "metrics" not in done(seconds=None)
    trace = events.tracing("Root=1-a;Parent=b;Sampled=1")
    assert done(trace=trace)["tracing"] == {"type": "X-Amzn-Trace-Id", "value": "Root=1-a;Parent=b;Sampled=1"}
    assert done(status="failure", error_type="Runtime.ExitError")["errorType"] == "Runtime.ExitError"


def test_report_has_init_duration_with_a_cold_start_only() -> None:
    def report(init_seconds: float | None) -> dict[str, Any]:
        return events.report(
            request_id="r",
            status="success",
            error_type=None,
            seconds=2.5994,
            billed_ms=2600,
            memory_mb=128,
            max_memory_mb=94,
            init_seconds=init_seconds,
            spans=[events.span("extensionOverhead", 0.0, 0.0015)],
            trace=None,
        )

    assert report(0.54904)["metrics"] == {
        "durationMs": 2599.4,
        "billedDurationMs": 2600,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 94,
        "initDurationMs": 549.04,
    }
    assert "initDurationMs" not in report(None)["metrics"]
    assert report(None)["spans"] == [
        {"name": "extensionOverhead", "start": "1970-01-01T00:00:00.000Z", "durationMs": 1.5}
    ]


def test_durations_are_cut_to_microseconds() -> None:
    assert events.milliseconds(0.0012349) == 1.234


def test_log_line_is_text_unless_the_format_is_json_and_it_is_an_object() -> None:
    line = '{"level":"INFO","message":"x"}'
    assert decoded(events.log_event(0.0, "function", line, json_format=False))["record"] == line
    assert decoded(events.log_event(0.0, "function", line, json_format=True))["record"] == {
        "level": "INFO",
        "message": "x",
    }
    for other in ("[1]", "{broken", "text", '"text"'):
        assert decoded(events.log_event(0.0, "function", other, json_format=True))["record"] == other


def test_first_schema_gets_objects_as_text() -> None:
    event = events.log_event(0.0, "function", '{"a":1}', json_format=True)
    assert decoded(event, objects=False)["record"] == '{"a":1}'


def test_category_is_what_a_subscription_names() -> None:
    assert events.platform_event(0.0, "report", {}).category == "platform"
    assert events.log_event(0.0, "extension", "x", json_format=False).category == "extension"
