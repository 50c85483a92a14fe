"""Durable functions. Vectors marked "published" are those of bottlecap's `logs/lambda/processor.rs`."""

from __future__ import annotations

import pytest

from ddx_core.events import TelemetryEvent
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_logs.durable import DurableContext, DurableLines, execution_in, max_contexts
from ddx_logs.record import Execution, LogRecord
from ddx_logs.settings import LogsSettings

from .support import Rig, end, event, report, start

durable_runtime = {"runtimeVersion": "python:3.13.DurableFunction.v1"}
context = DurableContext(execution_id="exec-id-123", execution_name="exec-name-abc", first_invocation=False)
prefix = "durable_function."


def durable_init(at: str = "2023-01-07T03:23:40Z") -> TelemetryEvent:
    return event("platform.initStart", durable_runtime, at)


def fields_of(rig: Rig) -> dict[str, dict[str, object]]:
    """By text, the fields of each delivered item that tell of its execution."""
    return {
        item["message"]["message"]: {
            name.removeprefix(prefix): value
            for name, value in item["message"]["lambda"].items()
            if name.startswith(prefix)
        }
        for item in rig.intake.items
    }


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        # Published.
        (
            "arn:aws:lambda:us-east-1:123456789012:function:my-function:1/durable-execution/my-exec-name/exec-id-abc",
            Execution("exec-id-abc", "my-exec-name"),
        ),
        (
            "arn:aws:lambda:us-west-2:999999999999:function:fn:$LATEST/durable-execution/exec-name/exec-uuid-123",
            Execution("exec-uuid-123", "exec-name"),
        ),
        ("arn:aws:lambda:us-east-1:123456789012:function:my-function:1", None),
        ("arn:aws:lambda:us-east-1:123456789012:function:my-function:1/durable-execution/only-name", None),
        # Read off the code.
        ("x/durable-execution/name/id/more", Execution("id/more", "name")),
        ("x/durable-execution/name/id/durable-execution/other/one", Execution("id", "name")),
        ("x/durable-execution//id", None),
        ("x/durable-execution/name/", None),
        ("", None),
    ],
)
def test_arn_names_its_execution(arn: str, expected: Execution | None) -> None:
    assert execution_in(arn) == expected


def lines_for(
    account: Account | None = None, *, max_invocations: int = 2, max_bytes: int = 1000, max_items: int = 100
) -> DurableLines:
    return DurableLines(
        account or Account("logs"), max_invocations=max_invocations, max_bytes=max_bytes, max_items=max_items
    )


def record(text: str) -> LogRecord:
    return LogRecord(text, 1)


def texts(ready: list[tuple[LogRecord, str | None]]) -> list[str]:
    return [each.text for each, _ in ready]


def test_nothing_waits_where_it_is_not_wanted() -> None:
    lines = lines_for(max_invocations=0)
    lines.learn_kind(is_durable=True)
    assert lines.learn("a", context) == []
    assert lines.sort(record("x"), "a") == [(record("x"), "a")]


def test_lines_wait_until_the_platform_says_that_the_function_is_not_durable() -> None:
    lines = lines_for()
    assert lines.sort(record("1"), "a") == lines.sort(record("2"), "b") == lines.sort(record("3"), "a") == []
    assert texts(lines.sort(record("none"), None)) == ["none"]
    assert texts(lines.learn_kind(is_durable=False)) == ["1", "3", "2"]
    assert texts(lines.sort(record("4"), "a")) == ["4"]
    assert len(lines) == 0


def test_lines_whose_execution_is_known_go_when_the_function_turns_out_to_be_durable() -> None:
    lines = lines_for()
    lines.sort(record("1"), "a")
    lines.sort(record("2"), "b")
    assert lines.learn("b", context) == []
    ((ready, request_id),) = lines.learn_kind(is_durable=True)
    assert (ready.text, request_id, ready.execution) == ("2", "b", Execution("exec-id-123", "exec-name-abc"))
    assert len(lines) == 1


def test_new_invocation_pushes_out_the_oldest_one_unenriched() -> None:
    lines = lines_for()
    lines.learn_kind(is_durable=True)
    for text, request_id in (("1", "a"), ("2", "b"), ("3", "a")):
        assert lines.sort(record(text), request_id) == []
    assert lines.sort(record("4"), "c") == [(record("1"), "a"), (record("3"), "a")]
    assert texts(lines.take_all()) == ["2", "4"]


def test_lines_held_before_the_function_is_found_durable_keep_their_order() -> None:
    # The vendor's extension goes round for ever here: its order list is not kept in step with what it holds.
    lines = lines_for()
    lines.sort(record("1"), "a")
    lines.sort(record("2"), "b")
    lines.learn_kind(is_durable=True)
    assert texts(lines.sort(record("3"), "c")) == ["1"]
    assert texts(lines.sort(record("4"), "d")) == ["2"]


@pytest.mark.parametrize(("bounds", "out"), [({"max_items": 3}, ["1", "2"]), ({"max_bytes": 3}, ["1", "2"])])
def test_bounds_push_lines_out_instead_of_dropping_them(bounds: dict[str, int], out: list[str]) -> None:
    account = Account("logs")
    lines = lines_for(account, **bounds)
    for text, request_id in (("1", "a"), ("2", "a"), ("3", "b")):
        assert lines.sort(record(text), request_id) == []
    assert texts(lines.sort(record("4"), "b")) == out
    assert account.snapshot().held.items == len(lines) == 2
    assert texts(lines_for(max_bytes=3).sort(record("four"), "a")) == ["four"]


def test_first_context_told_counts_and_the_oldest_is_forgotten() -> None:
    lines = lines_for()
    lines.learn_kind(is_durable=True)
    for number in range(max_contexts + 1):
        lines.learn(f"r{number}", context)
    assert lines.sort(record("x"), "r0") == []
    lines.learn("r1", DurableContext(execution_id="other", execution_name="other"))
    ((ready, _),) = lines.sort(record("x"), "r1")
    assert ready.execution is not None
    assert ready.execution.id == "exec-id-123"


@pytest.mark.parametrize("is_managed", [False, True])
def test_marks_alone_tell_of_the_first_invocation_and_ends_alone_of_the_status(is_managed: bool) -> None:
    lines = DurableLines(Account("logs"), max_invocations=1, max_bytes=99, max_items=9, is_managed=is_managed)
    lines.learn_kind(is_durable=True)
    lines.learn(
        "a", DurableContext(execution_id="i", execution_name="n", first_invocation=True, execution_status="SUCCEEDED")
    )

    def told(text: str) -> tuple[bool | None, str | None]:
        ((ready, _),) = lines.sort(record(text), "a")
        assert ready.execution is not None
        return ready.execution.first_invocation, ready.execution.status

    assert told("a line") == (None, None)
    assert told("START RequestId: a Version: 1") == (True, None)
    assert told("END RequestId: a") == (True, "SUCCEEDED")
    assert told("REPORT RequestId: a Duration: 1.00 ms") == (True, "SUCCEEDED" if is_managed else None)
    assert told(" END RequestId: a") == (None, None)


# --- in the pipeline ----------------------------------------------------------------------------------------------------


async def test_line_waits_for_the_span_that_tells_its_execution() -> None:
    rig = Rig(LogsSettings(durable_invocations=50))
    rig.observe(durable_init(), start("req-123"), event("function", "test-function"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.payloads == []
    assert rig.pipeline.statistics().waiting_for_execution == rig.held == 3
    rig.pipeline.learn_execution("req-123", context)
    rig.check()
    await rig.pipeline.flush(FlushKind.BLOCKING)
    identity = {"execution_id": "exec-id-123", "execution_name": "exec-name-abc"}
    assert fields_of(rig)["test-function"] == identity
    assert fields_of(rig)["START RequestId: req-123 Version: test-version"] == identity | {"first_invocation": False}


@pytest.mark.parametrize("status", ["SUCCEEDED", None])
async def test_end_tells_the_status_of_the_execution_if_known(status: str | None) -> None:
    rig = Rig(LogsSettings(durable_invocations=50))
    rig.observe(durable_init(), start("req-end"))
    told = DurableContext(
        execution_id="exec-id-123", execution_name="exec-name-abc", first_invocation=False, execution_status=status
    )
    rig.pipeline.learn_execution("req-end", told)
    rig.observe(end("req-end", metrics=None))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    fields = fields_of(rig)["END RequestId: req-end"]
    assert fields.get("execution_status", None) == status
    assert ("execution_status" in fields) is (status is not None)


async def test_report_of_managed_instances_tells_the_status_of_the_execution() -> None:
    rig = Rig(LogsSettings(durable_invocations=50, managed_instances=True))
    rig.observe(durable_init(), report("req-report", metrics={"durationMs": 123.45}))
    rig.pipeline.learn_execution(
        "req-report", DurableContext(execution_id="i", execution_name="n", execution_status="SUCCEEDED")
    )
    await rig.pipeline.flush(FlushKind.BACKGROUND)
    fields = fields_of(rig)["REPORT RequestId: req-report Runtime Duration: 123.45 ms"]
    assert fields == {"execution_id": "i", "execution_name": "n", "execution_status": "SUCCEEDED"}


@pytest.mark.parametrize("is_known", [False, True])
async def test_line_of_the_durable_sdk_goes_at_once(is_known: bool) -> None:
    rig = Rig(LogsSettings(durable_invocations=5))
    if is_known:
        rig.observe(durable_init())
    line = {"requestId": "r", "message": "step", "executionArn": "arn:f:1/durable-execution/my-name/my-id"}
    rig.observe(event("function", line), event("extension", {**line, "message": "no"}))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    ((_, fields),) = fields_of(rig).items()
    assert fields == {"execution_id": "my-id", "execution_name": "my-name"}
    body = rig.intake.payloads[0].body
    assert (
        b'"request_id":"r","durable_function.execution_id":"my-id","durable_function.execution_name":"my-name"}' in body
    )


async def test_final_flush_sends_what_no_span_came_for() -> None:
    rig = Rig(LogsSettings(durable_invocations=5))
    rig.observe(durable_init(), start(), event("function", "x"))
    await rig.pipeline.flush(FlushKind.FINAL)
    assert len(rig.intake.lines) == rig.delivered == 3
    assert rig.held == 0
    assert all(not fields for fields in fields_of(rig).values())


async def test_lines_of_functions_that_are_not_durable_go_as_ever() -> None:
    rig = Rig(LogsSettings(durable_invocations=5))
    rig.observe(event("platform.initStart", {"runtimeVersion": "python:3.13.v1"}), start(), event("function", "x"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.delivered == 3
