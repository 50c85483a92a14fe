"""The local platform with processes: init, invoke, freeze, failure and reset, shutdown, as Lambda drives them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing

from ddx_agent.local.faults import AgentSignal, Faults
from ddx_agent.local.platform.opening import open_platform
from ddx_agent.local.processes.presence import Presence
from ddx_agent.local.sandbox.plan import Limits
from tests.support.local_platform import Recording, answer, extension_command, make_function, process_state

pytestmark = pytest.mark.system


def host_extensions() -> list[str]:
    return os.listdir("/opt/extensions") if os.path.isdir("/opt/extensions") else []


async def test_cold_start_invocation_and_spindown_in_lambdas_order(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    function = make_function(tmp_path, tracing="Active")
    async with open_platform(
        function,
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        result = await platform.invoke({"print": "hello"})
        second = await platform.invoke({})
        end = await platform.shutdown()
    assert (result.status, result.function_error) == ("success", None)
    assert result.init_ms is not None
    assert second.init_ms is None
    assert 0 < result.response_ms <= result.total_ms
    assert result.billed_ms >= result.total_ms
    assert result.max_memory_mb > 5
    assert ("function", "hello") in result.log_lines
    invoke, again, shutdown = recording.lifecycle()
    assert invoke["eventType"] == again["eventType"] == "INVOKE"
    assert invoke["requestId"] == result.request_id == answer(result)["headers"]["Lambda-Runtime-Aws-Request-Id"]
    assert invoke["deadlineMs"] == int(answer(result)["headers"]["Lambda-Runtime-Deadline-Ms"])
    assert invoke["invokedFunctionArn"] == function.arn
    assert invoke["tracing"]["value"].endswith("Sampled=1")
    assert (shutdown["eventType"], shutdown["shutdownReason"]) == ("SHUTDOWN", "spindown")
    platform_types = [name for name in recording.types() if name.startswith("platform.")]
    assert platform_types == [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        *["platform.start", "platform.runtimeDone", "platform.report"] * 2,
    ]
    first_report, second_report = recording.records("platform.report")
    assert first_report["requestId"] == result.request_id
    assert first_report["metrics"]["initDurationMs"] == result.init_ms
    assert first_report["metrics"]["durationMs"] == result.total_ms
    assert first_report["tracing"]["type"] == "X-Amzn-Trace-Id"
    assert "initDurationMs" not in second_report["metrics"]
    spans = [span["name"] for span in recording.records("platform.runtimeDone")[0]["spans"]]
    assert spans == ["responseLatency", "responseDuration", "runtimeOverhead"]
    assert recording.records("platform.extension") == [
        {"name": "tester", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    ]
    assert recording.records("function") == ["runtime starts", "hello"]
    assert "tester got INVOKE" in recording.records("extension")
    assert end is not None
    assert [(exit.name, exit.how, exit.state) for exit in end.exits] == [
        ("runtime", "signal: terminated", None),
        ("tester", "exit status 0", "Exited"),
    ]
    assert not any(exit.killed for exit in end.exits)


async def test_environment_of_each_process_is_lambdas_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKS_FROM_THE_HOST", "1")
    recording = Recording(tmp_path)
    function = make_function(tmp_path, environment={"DD_ENV": "dev", "_UNDER": "score"})
    async with open_platform(
        function,
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        given = answer(await platform.invoke({"environment": True}))
    runtime: dict[str, str] = given["environment"]
    extension: dict[str, str] = recording.entries("environment")[0]["variables"]
    assert "LEAKS_FROM_THE_HOST" not in runtime | extension
    assert runtime["DD_ENV"] == extension["DD_ENV"] == "dev"
    assert runtime["_HANDLER"] == "bootstrap"
    assert runtime["LAMBDA_TASK_ROOT"] == given["cwd"] == str(tmp_path)
    assert not {"_UNDER", "_HANDLER", "LAMBDA_TASK_ROOT", "AWS_EXECUTION_ENV", "RUNTIME_API"} & set(extension)
    assert "EXTENSION_RECORD" not in runtime
    assert runtime["AWS_LAMBDA_RUNTIME_API"] == extension["AWS_LAMBDA_RUNTIME_API"]


async def test_sandbox_and_all_its_descendants_are_frozen_between_invocations(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"child": True})
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        runtime_pid = answer(await platform.invoke({"child": True}))["pid"]
        pids = [runtime_pid, recording.entries("child")[0]["pid"], recording.entries("event")[0]["pid"]]
        with trio.fail_after(5):
            while [process_state(pid) for pid in pids] != ["T"] * 3:
                await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.05)
        # Nothing is delivered to a frozen sandbox: the report of an invocation comes with the next one.
        assert recording.records("platform.report") == []
        assert answer(await platform.invoke({}))["pid"] == runtime_pid
        await recording.wait_for("platform.report")
        await platform.shutdown()
        # The child is nobody's to wait for: it was killed, and the kernel ends it in its own time.
        with trio.fail_after(5):
            while process_state(pids[1]) not in ("", "Z"):
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert [process_state(pid) for pid in pids] == ["", "", ""] or process_state(pids[1]) in "Z"


async def test_without_freeze_the_report_comes_at_once(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        freeze=False,
    ) as platform:
        runtime_pid = answer(await platform.invoke({}))["pid"]
        await recording.wait_for("platform.report")
        assert process_state(runtime_pid) not in "T"


async def test_timeout_resets_the_sandbox_and_the_next_invocation_starts_it_again(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    async with open_platform(
        make_function(tmp_path, timeout_s=0.5),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        cpu_share=False,
    ) as platform:
        late = await platform.invoke({"sleep": 30})
        after = await platform.invoke({})
        ends = platform.life_ends
    assert (late.status, late.function_error, late.error_type) == ("timeout", "Unhandled", "Sandbox.Timedout")
    assert answer(late)["errorMessage"] == f"RequestId: {late.request_id} Error: Task timed out after 0.50 seconds"
    assert (late.billed_ms, after.status, after.init_ms) == (500, "success", None)
    assert b"Task timed out after 0.50 seconds" in late.log_tail
    done, _ = recording.records("platform.runtimeDone")
    assert (done["requestId"], done["status"]) == (late.request_id, "timeout")
    assert [record["phase"] for record in recording.records("platform.initStart")] == ["init", "invoke"]
    assert recording.lifecycle()[1]["shutdownReason"] == "timeout"
    assert (ends[0].reason, ends[0].exits[-1].state) == ("timeout", "Exited")


async def test_runtime_that_exits_fails_the_invocation_with_its_exit_status(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        result = await platform.invoke({"exit": 3})
        assert (await platform.invoke({})).status == "success"
    assert (result.status, result.error_type) == ("error", "Runtime.ExitError")
    assert answer(result) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {result.request_id} Error: Runtime exited with error: exit status 3",
    }
    done = recording.records("platform.runtimeDone")[0]
    assert (done["status"], done["errorType"]) == ("error", "Runtime.ExitError")
    assert "spans" not in done
    assert recording.lifecycle()[1]["shutdownReason"] == "failure"


async def test_runtime_above_its_memory_is_killed(tmp_path: Path) -> None:
    async with open_platform(
        make_function(tmp_path, memory_mb=128),
        extension_command=None,
        limits=Limits(memory_sample_s=0.02),
        cpu_share=False,
    ) as platform:
        result = await platform.invoke({"eat_mb": 300})
    assert (result.status, result.error_type, result.max_memory_mb) == ("error", "Runtime.OutOfMemory", 128)
    assert answer(result)["errorMessage"].endswith("Runtime exited with error: signal: killed")


async def test_extension_that_crashes_fails_the_invocation_and_resets(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"crash_on_invoke": 1, "exit_code": 0})
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        result = await platform.invoke({"sleep": 5})
        end = platform.life_ends[0]
    assert (result.status, result.error_type) == ("error", "Extension.Crash")
    assert answer(result)["errorMessage"] == f"RequestId: {result.request_id} Error: exit code 0"
    assert (end.reason, end.error_type) == ("failure", "Extension.Crash")


async def test_extension_that_never_comes_back_costs_the_timeout_but_not_the_answer(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"hang_from_invoke": 1})
    async with open_platform(
        make_function(tmp_path, timeout_s=0.6),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        limits=Limits(shutdown_s=0.3),
    ) as platform:
        result = await platform.invoke({"a": 1})
        end = platform.life_ends[0]
    assert answer(result)["event"] == {"a": 1}
    assert (result.function_error, result.status) == (None, "timeout")
    assert result.response_ms < 600 <= result.total_ms
    assert (end.exits[-1].name, end.exits[-1].killed, end.exits[-1].state) == ("tester", True, "ShutdownFailed")
    assert [record["status"] for record in recording.records("platform.runtimeDone")] == ["success"]


async def test_extension_that_works_after_the_answer_adds_overhead_alone(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"work_s": 0.25})
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        result = await platform.invoke({})
        await platform.invoke({})
    assert result.response_ms < 250 <= result.total_ms
    assert result.overhead_ms > 100
    (overhead,) = recording.records("platform.report")[0]["spans"]
    assert (overhead["name"], overhead["durationMs"]) == ("extensionOverhead", result.overhead_ms)


async def test_shutdown_kills_at_its_deadline(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"ignore_shutdown": True, "child": True})
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        limits=Limits(shutdown_s=0.5),
    ) as platform:
        await platform.invoke({})
        end = await platform.shutdown()
        child = recording.entries("child")[0]["pid"]
        assert process_state(child) in "Z"
    assert end is not None
    assert 500 <= end.took_ms < 1500
    assert (end.exits[-1].how, end.exits[-1].killed) == ("signal: killed", True)


async def test_extension_without_shutdown_event_is_killed_without_a_wait(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"events": ["INVOKE"]})
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        await platform.invoke({})
        end = await platform.shutdown()
    assert end is not None
    assert end.took_ms < 1000
    assert [event["eventType"] for event in recording.lifecycle()] == ["INVOKE"]


async def test_init_that_fails_is_tried_again_inside_the_invocation(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    function = make_function(tmp_path, {"init_error": "Runtime.BadStart"})
    async with open_platform(
        function,
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        result = await platform.invoke({})
    assert (result.status, result.error_type) == ("error", "Runtime.BadStart")
    assert answer(result) == {"errorMessage": "told to", "errorType": "Runtime.BadStart"}
    assert [record["phase"] for record in recording.records("platform.initStart")] == ["init", "invoke"]
    assert [(record["status"], record["errorType"]) for record in recording.records("platform.initReport")] == [
        ("error", "Runtime.BadStart")
    ] * 2
    assert recording.records("platform.runtimeDone") == []


async def test_init_that_takes_too_long_is_stopped_and_tried_again_on_the_functions_time(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    function = make_function(tmp_path, {"init_s": 0.7}, timeout_s=10)
    async with open_platform(
        function,
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        limits=Limits(init_s=0.4),
        cpu_share=False,
    ) as platform:
        result = await platform.invoke({})
        await platform.invoke({})
    assert (result.status, result.init_ms) == ("success", None)
    assert result.response_ms > 700
    first, second = recording.records("platform.initReport")
    assert (first["phase"], first["status"]) == ("init", "timeout")
    assert (second["phase"], second["status"]) == ("invoke", "success")


@pytest.mark.parametrize(
    ("plan", "error_type"),
    [
        ({"exit_before_register": True}, "Extension.Crash"),
        ({"init_error": True}, "Extension.InitError"),
        ({"exit_error_on_invoke": 1}, "Extension.ExitError"),
    ],
)
async def test_extension_that_fails_is_named(tmp_path: Path, plan: dict[str, object], error_type: str) -> None:
    recording = Recording(tmp_path, plan)
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        result = await platform.invoke({"sleep": 3})
    assert (result.status, result.error_type) == ("error", error_type)


async def test_extension_command_that_cannot_be_started_is_a_launch_error(tmp_path: Path) -> None:
    async with open_platform(make_function(tmp_path), extension_command=[str(tmp_path / "missing")]) as platform:
        result = await platform.invoke({})
    assert result.error_type == "Extension.LaunchError"


async def test_warm_start_makes_no_cold_start(tmp_path: Path) -> None:
    async with open_platform(make_function(tmp_path), extension_command=None) as platform:
        await platform.warm()
        result = await platform.invoke({})
    assert result.status == "success"


async def test_extension_may_get_its_invoke_after_the_function_has_answered(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        faults=Faults(invoke_delay_ms=150),
    ) as platform:
        result = await platform.invoke({})
    assert result.response_ms < 150 <= result.total_ms
    assert recording.lifecycle()[0]["requestId"] == result.request_id


async def test_agent_that_is_killed_in_mid_invocation_changes_nothing_for_the_function(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"child": True})
    faults = Faults(agent_signals=(AgentSignal(signal=signal.SIGKILL, invocation=1, after_ms=20),))
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        faults=faults,
    ) as platform:
        result = await platform.invoke({"sleep": 0.2})
        child = recording.entries("child")[0]["pid"]
        assert process_state(child) in "Z"
        assert (await platform.invoke({})).status == "success"
    assert result.status == "success"


async def test_agent_stopped_by_a_fault_stays_stopped_over_a_thaw(tmp_path: Path) -> None:
    recording = Recording(tmp_path, {"child": True})
    faults = Faults(agent_signals=(AgentSignal(signal=signal.SIGSTOP, invocation=1),))
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
        faults=faults,
    ) as platform:
        await platform.invoke({"sleep": 0.1})
        assert (await platform.invoke({"sleep": 0.1})).status == "success"
        assert process_state(recording.entries("child")[0]["pid"]) == "T"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may be sure to get a mount namespace")
@pytest.mark.parametrize(("presence", "seen"), [(Presence.NAMESPACE, True), (Presence.NONE, False)])
async def test_extension_file_is_there_for_the_function_and_for_nobody_else(
    tmp_path: Path, presence: Presence, seen: bool
) -> None:
    async with open_platform(
        make_function(tmp_path),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=Recording(tmp_path).environment,
        presence=presence,
    ) as platform:
        result = await platform.invoke({"exists": "/opt/extensions/tester"})
    assert answer(result)["exists"] is seen
    assert "tester" not in host_extensions()


async def test_invocations_wait_for_each_other(tmp_path: Path) -> None:
    async with open_platform(make_function(tmp_path), extension_command=None) as platform:
        invocations = [platform.submit({"n": number}) for number in range(4)]
        results = [await invocation.wait_done() for invocation in invocations]
    assert [answer(result)["event"]["n"] for result in results] == [0, 1, 2, 3]
    assert len({answer(result)["pid"] for result in results}) == 1


async def test_response_above_the_limit_is_refused_to_the_runtime_and_an_error_for_the_caller(tmp_path: Path) -> None:
    async with open_platform(make_function(tmp_path), extension_command=None) as platform:
        result = await platform.invoke({"respond_bytes": 6291556})
        assert (await platform.invoke({})).status == "success"
    assert (result.error_type, result.status) == ("Function.ResponseSizeTooLarge", "error")
    assert answer(result)["errorMessage"] == (
        "Response payload size (6291558 bytes) exceeded maximum allowed payload size (6291556 bytes)."
    )
    answered = next(line for _, line in result.log_lines if line.startswith("answered"))
    assert answered.startswith('answered 413 {"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes)."')


async def test_streamed_response_is_taken_with_its_trailers(tmp_path: Path) -> None:
    async with open_platform(make_function(tmp_path), extension_command=None) as platform:
        whole = await platform.invoke({"stream": ["one ", "two"]})
        broken = await platform.invoke({"stream": ["one "], "trailer": "Function.Broke"})
    assert (whole.payload, whole.status) == (b"one two", "success")
    assert (broken.payload, broken.error_type) == (b"one ", "Function.Broke")


async def test_json_log_format_gives_objects(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    async with open_platform(
        make_function(tmp_path, log_format="JSON"),
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as platform:
        result = await platform.invoke({"print": '{"level": "INFO", "message": "x"}'})
    assert {"level": "INFO", "message": "x"} in recording.records("function")
    assert "runtime starts" in recording.records("function")
    assert b'"type":"platform.report"' in result.log_tail
