"""Python functions through the unmodified awslambdaric, and the unmodified libraries in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ddx_agent.local.function_folder import load_function
from ddx_agent.local.platform.opening import open_platform
from ddx_agent.local.processes.presence import Presence
from tests.support.local_platform import Recording, answer, extension_command

pytestmark = pytest.mark.system

handler = """
import logging

import datadog_lambda.extension

logging.getLogger().setLevel(logging.INFO)


def handler(event, context):
    if "fail" in event:
        raise ValueError(event["fail"])
    logging.info("two\\nlines")
    return {
        "present": datadog_lambda.extension.should_use_extension,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "left_ms": context.get_remaining_time_in_millis(),
    }
"""


def write_function(folder: Path) -> Path:
    (folder / "handler.py").write_text(handler)
    (folder / "function.toml").write_text('name = "pythonic"\nmemory_mb = 256\ntimeout_s = 20\n')
    return folder


@pytest.mark.parametrize("presence", [Presence.AUTO, Presence.INTERPOSE])
async def test_libraries_find_the_extension_with_and_without_namespaces(tmp_path: Path, presence: Presence) -> None:
    function = load_function(write_function(tmp_path))
    recording = Recording(tmp_path, {"name": "datadog-agent"})
    async with open_platform(
        function, extension_command=extension_command, extension_environment=recording.environment, presence=presence
    ) as platform:
        result = await platform.invoke({})
        failed = await platform.invoke({"fail": "on purpose"})
    facts = answer(result)
    assert (facts["present"], facts["arn"], facts["memory"]) == (True, function.arn, "256")
    assert 0 < facts["left_ms"] <= 20_000
    (line,) = (line for source, line in result.log_lines if source == "function")
    assert line.startswith("[INFO]\t")
    assert line.endswith(f"{result.request_id}\ttwo\nlines"), "a message is one record, whatever is in it"
    assert (failed.status, failed.function_error, answer(failed)["errorType"]) == ("error", "Unhandled", "ValueError")
    done = recording.records("platform.runtimeDone")[1]
    assert (done["status"], done["errorType"]) == ("error", "Runtime.Unknown")


async def test_without_an_extension_the_libraries_find_none(tmp_path: Path) -> None:
    async with open_platform(load_function(write_function(tmp_path)), extension_command=None) as platform:
        assert answer(await platform.invoke({}))["present"] is False


async def test_handler_that_cannot_be_imported_is_an_init_error(tmp_path: Path) -> None:
    folder = write_function(tmp_path)
    (folder / "handler.py").write_text("import nothing_of_that_name\ndef handler(event, context): ...\n")
    async with open_platform(load_function(folder), extension_command=None) as platform:
        result = await platform.invoke({})
    assert (result.status, result.error_type) == ("error", "Runtime.ImportModuleError")
    assert "No module named 'nothing_of_that_name'" in answer(result)["errorMessage"]


async def test_another_interpreter_can_be_named(tmp_path: Path) -> None:
    folder = write_function(tmp_path)
    (folder / "function.toml").write_text(f'python = "{sys.executable}"\n')
    async with open_platform(load_function(folder), extension_command=None) as platform:
        assert (await platform.invoke({})).status == "success"
