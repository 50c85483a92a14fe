"""Wording and status of platform lines. Expected texts: tests of bottlecap's `logs/lambda/processor.rs`."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_core.events import InitStart, Report, RuntimeDone, Start, TelemetryEvent
from ddx_logs.from_telemetry import read_end, read_init_start, read_report, read_start
from ddx_logs.platform_lines import quoted
from ddx_logs.record import LogRecord, Status

from .support import end, event, on_demand_metrics, report, start

rid = "test-request-id"


def read(told: TelemetryEvent, runtime_ms: float = 0.0) -> LogRecord:
    match told:
        case InitStart():
            return read_init_start(told)
        case Start():
            return read_start(told)
        case RuntimeDone():
            return read_end(told)
        case Report():
            return read_report(told, runtime_ms=runtime_ms)
        case _:
            raise AssertionError(told)


def init_start(**record: str) -> TelemetryEvent:
    return event("platform.initStart", {"initializationType": "on-demand", "phase": "init", **record})


def managed(duration_ms: float, **fields: Any) -> TelemetryEvent:
    return report(metrics={"durationMs": duration_ms}, **fields)


on_demand_text = (
    f"REPORT RequestId: {rid} Duration: 100.00 ms Runtime Duration: 0.00 ms Post Runtime Duration: 0.00 ms"
    " Billed Duration: 128 ms Memory Size: 256 MB Max Memory Used: 64 MB Init Duration: 50.00 ms"
)

vectors: list[tuple[TelemetryEvent, str, Status, str | None]] = [
    (
        init_start(runtimeVersion="test-runtime-version", runtimeVersionArn="test-runtime-version-arn"),
        "INIT_START Runtime Version: test-runtime-version Runtime Version ARN: test-runtime-version-arn",
        Status.INFO,
        None,
    ),
    (init_start(), "INIT_START Runtime Version: ? Runtime Version ARN: ?", Status.INFO, None),
    (start(), f"START RequestId: {rid} Version: test-version", Status.INFO, rid),
    (event("platform.start", {"requestId": rid}), f"START RequestId: {rid} Version: $LATEST", Status.INFO, rid),
    (end(), f"END RequestId: {rid}", Status.INFO, rid),
    (end(status="failure"), f"END RequestId: {rid}", Status.INFO, rid),
    (
        end(status="timeout", metrics={"durationMs": 5000.0}),
        f"END RequestId: {rid} Task timed out after 5.00 seconds",
        Status.ERROR,
        rid,
    ),
    (
        end(status="error", errorType="Runtime.ExitError", metrics={"durationMs": 10}),
        f'END RequestId: {rid} Task failed: "Runtime.ExitError"',
        Status.ERROR,
        rid,
    ),
    (end(status="error"), f"END RequestId: {rid} Task failed with an unknown error", Status.ERROR, rid),
    # Without metrics the text says nothing of the failure; the status still does.
    (end(status="timeout", metrics=None), f"END RequestId: {rid}", Status.ERROR, rid),
    (end(status="error", errorType="X", metrics=None), f"END RequestId: {rid}", Status.ERROR, rid),
    (report(), on_demand_text, Status.INFO, rid),
    (report(status="timeout"), on_demand_text, Status.ERROR, rid),
    (report(status="error", errorType="X"), on_demand_text, Status.ERROR, rid),
    (managed(123.45), f"REPORT RequestId: {rid} Runtime Duration: 123.45 ms", Status.INFO, rid),
    (
        managed(200.0, status="error", errorType="RuntimeError"),
        f"REPORT RequestId: {rid} Runtime Duration: 200.00 ms Task failed: RuntimeError",
        Status.ERROR,
        rid,
    ),
    (
        managed(150.0, status="error"),
        f"REPORT RequestId: {rid} Runtime Duration: 150.00 ms Task failed with an unknown error",
        Status.ERROR,
        rid,
    ),
    (
        managed(30000.0, status="timeout"),
        f"REPORT RequestId: {rid} Runtime Duration: 30000.00 ms Task timed out after 30.00 seconds",
        Status.ERROR,
        rid,
    ),
]


@pytest.mark.parametrize(("told", "text", "status", "request_id"), vectors)
def test_platform_line_has_the_published_wording(
    told: TelemetryEvent, text: str, status: Status, request_id: str | None
) -> None:
    record = read(told)
    assert (record.text, record.status, record.request_id) == (text, status, request_id)


def test_report_shows_the_runtime_duration_and_what_came_after_it() -> None:
    text = read(report(), runtime_ms=80.125).text
    assert "Runtime Duration: 80.12 ms Post Runtime Duration: 19.88 ms" in text


def test_post_runtime_duration_may_be_negative() -> None:
    assert "Post Runtime Duration: -0.50 ms" in read(report(), runtime_ms=100.5).text


def test_report_without_init_duration_does_not_mention_it() -> None:
    metrics = {name: value for name, value in on_demand_metrics.items() if name != "initDurationMs"}
    assert read(report(metrics={**metrics, "restoreDurationMs": 1.0})).text.endswith("Max Memory Used: 64 MB")


def test_durations_round_half_to_even_on_their_exact_binary_value() -> None:
    assert "Runtime Duration: 0.12 ms" in read(managed(0.125)).text
    assert "Runtime Duration: 2.67 ms" in read(managed(2.675)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Runtime.ExitError", '"Runtime.ExitError"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a\n\r\t\0", '"a\\n\\r\\t\\0"'),
        ("\x1b\x7f", '"\\u{1b}\\u{7f}"'),
        ("café'", '"café\'"'),
    ],
)
def test_error_type_is_quoted_with_escapes(text: str, expected: str) -> None:
    assert quoted(text) == expected
