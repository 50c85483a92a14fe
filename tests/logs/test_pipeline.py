"""The pipeline as the agent drives it: events in, requests out, accounts that close after every event."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing

from ddx_core.events import LogLine, parse_telemetry
from ddx_core.intake import Coding, Compressor
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Amount
from ddx_core.tags import TagSet
from ddx_logs.settings import LogsSettings, OwnLines

from .support import Rig, body_of, decode, end, event, report, start, time_ms

rid = "test-request-id"
start_line = f"START RequestId: {rid} Version: test-version"


async def test_whole_request_is_the_published_one() -> None:
    """bottlecap `tests/logs_integration_test.rs`."""
    rig = Rig(service="")
    body = (
        b'[{"time":"2022-10-21T14:05:03.000Z","type":"platform.initStart",'
        b'"record":{"initializationType":"on-demand","phase":"init"}},'
        b'{"time":"2022-10-21T14:05:03.165Z","type":"platform.start",'
        b'"record":{"requestId":"459921b5-681c-4a96-beb0-81e0aa586026","version":"$LATEST"}}]'
    )
    rig.observe(*parse_telemetry(body).events)
    await rig.pipeline.flush(FlushKind.BLOCKING)
    (payload,) = rig.intake.payloads
    assert payload.path == "/api/v2/logs"
    assert payload.content_type == "application/json"
    assert payload.headers == (("DD-PROTOCOL", "agent-json"),)
    assert payload.items == 2
    assert payload.body.startswith(
        b'[{"message":{"message":"START RequestId: 459921b5-681c-4a96-beb0-81e0aa586026 Version: $LATEST",'
        b'"lambda":{"arn":"test-arn","request_id":"459921b5-681c-4a96-beb0-81e0aa586026"},'
        b'"timestamp":1666361103165,"status":"info"},"hostname":"test-arn","service":"","ddtags":"test:tags"'
    )
    first, second = decode(payload)
    assert first["ddsource"] == "lambda"
    assert second["message"]["message"].startswith("INIT_START ")
    assert second["message"]["timestamp"] == 1666361103000


async def test_body_is_compressed_once_as_told() -> None:
    for coding, encoding in ((Coding.ZSTD, "zstd"), (Coding.GZIP, "gzip"), (Coding.IDENTITY, None)):
        rig = Rig(compressor=Compressor(coding))
        rig.observe(start())
        await rig.pipeline.flush(FlushKind.BLOCKING)
        (payload,) = rig.intake.payloads
        assert payload.encoding == encoding
        assert body_of(payload).startswith(b'[{"message":{"message":"START')


async def test_line_before_the_first_start_waits_and_is_not_sent() -> None:
    rig = Rig()
    rig.observe(event("function", "test-function"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.payloads == []
    assert rig.pipeline.statistics().waiting == rig.held == 1


async def test_start_releases_what_waited_behind_itself_in_order() -> None:
    rig = Rig()
    rig.observe(
        event("extension", "extension line"),
        event("function", "Error: NO_REGION environment variable not set"),
        start(),
    )
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines == [
        (start_line, rid),
        ("extension line", rid),
        ("Error: NO_REGION environment variable not set", rid),
    ]


async def test_lines_of_managed_instances_never_wait_and_never_inherit() -> None:
    rig = Rig(LogsSettings(managed_instances=True))
    rig.observe(
        event("function", "early"),
        start(),
        event("function", "later"),
        event("function", {"requestId": "own", "message": "m"}),
    )
    assert rig.pipeline.statistics().waiting == 0
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    assert rig.intake.lines == [
        ("early", None),
        (start_line, rid),
        ("later", None),
        ('{"requestId":"own","message":"m"}', "own"),
    ]


async def test_report_of_managed_instances_is_a_line_of_its_own_invocation() -> None:
    rig = Rig(LogsSettings(managed_instances=True))
    rig.observe(report(metrics={"durationMs": 123.45}))
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    assert rig.intake.lines == [(f"REPORT RequestId: {rid} Runtime Duration: 123.45 ms", rid)]


async def test_object_record_has_the_request_id_it_names() -> None:
    rig = Rig()
    rig.observe(start("running"), event("function", {"requestId": "test-request-123", "message": "Hello World"}))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines[1] == ('{"requestId":"test-request-123","message":"Hello World"}', "test-request-123")


async def test_line_with_tags_has_them_behind_the_functions_own() -> None:
    rig = Rig()
    rig.observe(
        start(),
        event(
            "function",
            '{"message":{"custom_details": "my-structured-message",'
            '"ddtags":"added_tag1:added_value1,added_tag2:added_value2"}}',
        ),
    )
    await rig.pipeline.flush(FlushKind.BLOCKING)
    item = rig.intake.items[1]
    assert item["message"]["message"] == '{"custom_details":"my-structured-message"}'
    assert item["ddtags"] == "test:tags,added_tag1:added_value1,added_tag2:added_value2"


async def test_lines_after_the_end_keep_their_invocation() -> None:
    rig = Rig()
    rig.observe(start("a", "2023-01-01T00:00:01Z"), end("a", "2023-01-01T00:00:02Z"))
    rig.observe(event("function", "last words", "2023-01-01T00:00:02.5Z"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines[-1] == ("last words", "a")


async def test_lines_after_the_end_are_settled_by_the_next_start_when_it_comes_first() -> None:
    rig = Rig()
    rig.observe(start("a", "2023-01-01T00:00:01Z"), end("a", "2023-01-01T00:00:02Z"))
    rig.observe(event("function", "last words of a", "2023-01-01T00:00:02.5Z"))
    rig.observe(event("function", "first words of b", "2023-01-01T00:00:03.5Z"))
    assert rig.pipeline.statistics().waiting == 2
    rig.observe(start("b", "2023-01-01T00:00:03Z"))
    assert rig.pipeline.statistics().waiting == 0
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines[-2:] == [("last words of a", "a"), ("first words of b", "b")]


async def test_report_never_ships_an_empty_request_id() -> None:
    rig = Rig()
    rig.observe(event("function", "orphan"), report("reported"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert {request_id for _, request_id in rig.intake.lines} == {"reported"}


async def test_reports_show_the_runtime_duration_of_their_own_invocation() -> None:
    rig = Rig()
    rig.observe(
        start("a", "2023-01-01T00:00:01Z"),
        end("a", "2023-01-01T00:00:02Z", metrics={"durationMs": 80.0}),
        start("b", "2023-01-01T00:00:03Z"),
        end("b", "2023-01-01T00:00:04Z", metrics=None),
        report("a", "2023-01-01T00:00:05Z"),
        report("b", "2023-01-01T00:00:05Z"),
    )
    await rig.pipeline.flush(FlushKind.BLOCKING)
    a, b = [text for text, _ in rig.intake.lines if text.startswith("REPORT")]
    assert "Runtime Duration: 80.00 ms Post Runtime Duration: 20.00 ms" in a
    assert "Runtime Duration: 0.00 ms Post Runtime Duration: 0.00 ms" in b


async def test_final_flush_sends_what_still_waits_without_request_id() -> None:
    rig = Rig()
    rig.observe(event("platform.initStart", {}), event("function", "init failed"))
    await rig.pipeline.flush(FlushKind.FINAL)
    assert [request_id for _, request_id in rig.intake.lines] == [None, None]
    assert rig.held == 0
    rig.check()


async def test_repeated_platform_events_make_one_line_each_and_are_counted() -> None:
    rig = Rig()
    for _ in range(2):
        rig.observe(start(), end(), report())
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [text.split()[0] for text, _ in rig.intake.lines] == ["START", "END", "REPORT"]
    assert rig.account.dropped("repeated_event").items == 3


async def test_events_that_make_no_line_are_not_accepted() -> None:
    rig = Rig()
    rig.observe(
        event("platform.initRuntimeDone", {"initializationType": "on-demand", "status": "success"}),
        event("platform.initReport", {"initializationType": "on-demand", "metrics": {"durationMs": 1.0}}),
        event("platform.restoreStart", {}),
        event("platform.restoreRuntimeDone", {"status": "success"}),
        event("platform.restoreReport", {"status": "success", "metrics": {"durationMs": 1.0}}),
        event("platform.extension", {"name": "x", "state": "Ready", "events": []}),
        event("platform.telemetrySubscription", {"name": "x", "state": "Subscribed", "types": ["platform"]}),
        event("platform.logsDropped", {"reason": "slow", "droppedRecords": 3, "droppedBytes": 99}),
    )
    assert rig.account.snapshot().accepted == Amount(0, 0)


async def test_disabled_pipeline_takes_nothing_in() -> None:
    signs: list[str | None] = []
    rig = Rig(LogsSettings(enabled=False), on_out_of_memory=lambda request_id, _: signs.append(request_id))
    rig.observe(start(), event("function", "MemoryError"), end())
    await rig.pipeline.flush(FlushKind.FINAL)
    assert rig.intake.payloads == []
    assert rig.account.snapshot().accepted == Amount(0, 0)
    assert signs == []


async def test_without_platform_lines_the_others_still_find_their_invocation() -> None:
    rig = Rig(LogsSettings(platform_lines=False))
    rig.observe(event("function", "early"), event("platform.initStart", {}), start("a"), event("function", "x"))
    rig.observe(end("a"), end("a"), report("a"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines == [("early", "a"), ("x", "a")]
    assert rig.account.snapshot().accepted.items == 2


own_error = '{"status":"ERROR","message":"DD_EXTENSION | ERROR | MemoryError"}'
own_info = '{"status":"INFO","message":"DD_EXTENSION | INFO | flushed"}'
own_debug = '{"status":"DEBUG","message":"DD_EXTENSION | DEBUG | flushed"}'


@pytest.mark.parametrize(
    ("own_lines", "shipped"),
    [(OwnLines.NONE, []), (OwnLines.WARNINGS, [own_error]), (OwnLines.INFO, [own_error, own_info])],
)
async def test_own_lines_are_shipped_as_told_and_the_rest_counted(own_lines: OwnLines, shipped: list[str]) -> None:
    signs: list[str | None] = []
    rig = Rig(LogsSettings(ship_own_lines=own_lines), on_out_of_memory=lambda request_id, _: signs.append(request_id))
    rig.observe(start(), *(event("extension", line) for line in (own_error, own_info, own_debug)))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [text for text, _ in rig.intake.lines[1:]] == shipped
    assert rig.account.dropped("own_line").items == 3 - len(shipped)
    assert signs == []


@pytest.mark.parametrize("managed", [False, True])
async def test_own_line_in_the_words_of_the_vendor_has_the_status_it_names(managed: bool) -> None:
    """bottlecap `logs/lambda/processor.rs`."""
    rig = Rig(LogsSettings(managed_instances=managed))
    line = '{"level":"ERROR","message":"DD_EXTENSION | ERROR | Extension loop failed"}'
    rig.observe(start(), event("extension", line))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines[1][0] == line
    assert rig.intake.items[1]["message"]["status"] == "error"


async def test_function_may_write_what_looks_like_an_own_line() -> None:
    rig = Rig()
    rig.observe(start(), event("function", own_debug))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines[1][0] == own_debug
    assert rig.intake.items[1]["message"]["status"] == "debug"


async def test_out_of_memory_is_told_with_the_invocation_it_hit() -> None:
    signs: list[tuple[str | None, int]] = []
    rig = Rig(on_out_of_memory=lambda request_id, time_ns: signs.append((request_id, time_ns)))
    rig.observe(event("function", "MemoryError"))
    rig.observe(start("a"), event("function", "java.lang.OutOfMemoryError"))
    rig.observe(event("extension", "MemoryError"), event("function", {"requestId": "own", "m": "MemoryError"}))
    rig.observe(end("a"), event("function", "MemoryError", "2024-01-01T00:00:00Z"))
    ns = time_ms * 1_000_000
    assert signs == [(None, ns), ("a", ns), ("a", ns), ("own", ns), ("a", 1704067200_000_000_000)]
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.delivered == 7


async def test_out_of_memory_in_managed_instances_is_told_without_guessing_the_invocation() -> None:
    signs: list[str | None] = []
    rig = Rig(LogsSettings(managed_instances=True), on_out_of_memory=lambda request_id, _: signs.append(request_id))
    rig.observe(start("a"), event("function", "MemoryError"))
    assert signs == [None]


async def test_records_wait_for_the_arn_when_it_is_not_known_yet() -> None:
    rig = Rig(function_arn="")
    rig.observe(start(), event("function", "x"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.payloads == []
    assert rig.held == 2
    rig.pipeline.set_function_arn("arn:aws:lambda:eu-west-1:123:function:F", TagSet([("account_id", "123")]))
    rig.check()
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert {(item["hostname"], item["ddtags"]) for item in rig.intake.items} == {
        ("arn:aws:lambda:eu-west-1:123:function:f", "account_id:123")
    }


async def test_final_flush_does_not_wait_for_the_arn() -> None:
    rig = Rig(function_arn="")
    rig.observe(start(), event("function", "x"))
    await rig.pipeline.flush(FlushKind.FINAL)
    assert rig.delivered == 2


async def test_batches_hold_at_most_so_many_items() -> None:
    rig = Rig(LogsSettings(max_batch_items=2))
    rig.observe(start(), event("function", "b"), event("function", "c"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    # Batches of one flush are sent at once, so they may arrive in any order.
    batches = sorted(([item["message"]["message"] for item in decode(it)] for it in rig.intake.payloads), key=len)
    assert batches == [["c"], [start_line, "b"]]


@pytest.mark.parametrize("limit", range(608, 624))
async def test_batches_hold_at_most_so_many_bytes_framing_included(limit: int) -> None:
    rig = Rig(LogsSettings(max_batch_bytes=limit))
    rig.observe(start("r"), *(event("function", f"{number:03}") for number in range(7)))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    (line,) = [item for item in rig.intake.items if item["message"]["message"] == "000"]
    item = len(msgspec.json.encode(line))
    sizes = [payload.size for payload in rig.intake.payloads]
    assert max(sizes) <= limit
    # As full as can be: three items of one size, two commas and two brackets.
    assert (3 * item + 4 <= limit) == any(payload.items == 3 for payload in rig.intake.payloads)


async def test_item_that_is_too_large_is_cut_and_counted_and_blocks_nothing() -> None:
    rig = Rig()
    rig.observe(start(), event("function", "x" * (6 << 20)), event("function", "after"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    _, cut, after = rig.intake.items
    assert cut["message"]["message"].endswith("xxx...TRUNCATED...")
    assert len(msgspec.json.encode(cut)) == 1 << 20
    assert after["message"]["message"] == "after"
    assert rig.pipeline.statistics().truncated == 1


async def test_full_buffer_drops_the_oldest_and_counts_them() -> None:
    rig = Rig(LogsSettings(max_bytes=2000))
    rig.observe(start(), *(event("function", f"line {number}") for number in range(20)))
    dropped = rig.account.dropped("buffer_full").items
    assert dropped > 0
    assert rig.pipeline.statistics().buffered_bytes <= 2000
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [text for text, _ in rig.intake.lines] == [f"line {number}" for number in range(dropped - 1, 20)]


async def test_full_hold_drops_the_oldest_and_counts_them() -> None:
    rig = Rig(LogsSettings(max_waiting_items=3))
    rig.observe(*(event("function", f"line {number}") for number in range(5)), start())
    assert rig.account.dropped("waiting_full").items == 2
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [text for text, _ in rig.intake.lines[1:]] == ["line 2", "line 3", "line 4"]


async def test_event_without_a_time_gets_that_of_its_arrival() -> None:
    rig = Rig(now_ns=lambda: 42_000_000)
    rig.observe(start(), LogLine(time_ns=0, text="x"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.items[1]["message"]["timestamp"] == 42


async def test_a_flood_is_sent_ahead_of_the_flush_instead_of_dropped() -> None:
    rig = Rig(LogsSettings(max_bytes=20_000))
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        rig.observe(start())
        for number in range(500):
            rig.observe(event("function", f"line {number}"))
            await trio.testing.wait_all_tasks_blocked()
        assert not rig.account.dropped("buffer_full").items
        assert rig.intake.items, "more than the buffer takes has left already"
        await rig.pipeline.flush(FlushKind.BLOCKING)
        nursery.cancel_scope.cancel()
    assert [text for text, _ in rig.intake.lines[1:]] == [f"line {number}" for number in range(500)]


async def test_serve_runs_until_cancelled() -> None:
    rig = Rig()
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pipeline.serve)
        nursery.cancel_scope.cancel()


async def test_flush_with_nothing_held_sends_nothing() -> None:
    rig = Rig()
    for kind in FlushKind:
        await rig.pipeline.flush(kind)
    assert rig.intake.payloads == []


async def test_losses_are_told_once_with_their_count(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(LogsSettings(max_waiting_items=3))
    rig.observe(*(event("function", f"line {number}") for number in range(5)), event("function", "x" * (2 << 20)))
    rig.observe(start())
    for _ in range(2):
        await rig.pipeline.flush(FlushKind.BLOCKING)
    assert caplog.messages == [
        "logs_dropped about=waiting_full so_far=3",
        "logs_shortened about=truncated so_far=1",
    ]
