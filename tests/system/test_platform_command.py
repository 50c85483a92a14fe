"""`ddx local` as a program, with other extensions than ours and with none."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_platform import extension_command, make_function, process_state

root = Path(__file__).parents[2]

pytestmark = pytest.mark.system


def write_function(folder: Path, **events: str) -> Path:
    make_function(folder)
    (folder / "function.toml").write_text('name = "tested"\ntimeout_s = 5\n')
    (folder / "events").mkdir()
    for name, payload in events.items():
        (folder / "events" / f"{name.replace('__', '.')}.json").write_text(payload)
    return folder


def ddx_local(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ddx_agent", "local", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_all_events_are_played_and_the_document_says_how_they_ended(tmp_path: Path) -> None:
    folder = write_function(tmp_path, a='{"print":"hello"}', b__error='{"error":"told"}')
    done = ddx_local(str(folder), "--no-extension", "--json", "--repeat", "2", "--memory", "256", "--env", "A=B")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert [(each["name"], each["outcome"]) for each in document["invocations"]] == [
        ("a", "success"),
        ("b", "error"),
        ("a (2)", "success"),
        ("b (2)", "error"),
    ]
    assert (document["ok"], document["accounts"], document["extension"]) == (True, None, None)
    assert document["invocations"][0]["response"]["event"] == {"print": "hello"}
    assert document["function"]["memory_mb"] == 256


@pytest.mark.skipif(shutil.which("curl") is None, reason="the example needs curl")
def test_shell_example_speaks_the_runtime_api_itself() -> None:
    done = ddx_local(str(root / "examples" / "bootstrap-shell"), "--no-extension", "--json")
    assert done.returncode == 0, done.stderr
    hello, fail = json.loads(done.stdout)["invocations"]
    assert hello["response"] == {"runtime": "sh", "event": {"name": "world"}}
    assert (fail["outcome"], fail["error_type"]) == ("error", "Function.AskedTo")


def test_unexpected_outcome_is_exit_code_1(tmp_path: Path) -> None:
    done = ddx_local(str(write_function(tmp_path, a='{"error":"surprise"}')), "--no-extension")
    assert done.returncode == 1
    assert "✗ a: error, expected success (Told)" in done.stdout
    assert "1 of 1 invocations ended otherwise than expected." in done.stdout


def test_timeout_can_be_expected(tmp_path: Path) -> None:
    folder = write_function(tmp_path, a__timeout='{"sleep":30}')
    assert ddx_local(str(folder), "--no-extension", "--timeout", "0.3").returncode == 0


def test_another_extension_takes_the_place_of_ours(tmp_path: Path) -> None:
    folder = write_function(tmp_path, a='{"print":"hello"}')
    done = ddx_local(str(folder), "--extension", shlex.join(extension_command), "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert ["tester", "tester got INVOKE"] in document["invocations"][0]["log_lines"]
    assert [each["name"] for each in document["lives"][0]["exits"]] == ["runtime", "tester"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/no/such/folder"], "no such folder"),
        (["FOLDER", "--env", "NAME"], "--env NAME: expected KEY=VALUE"),
        (["FOLDER", "--memory", "1"], "--memory 1: expected 128 to 10240"),
        (["FOLDER", "--timeout", "0"], "--timeout 0: expected more than 0"),
        (["FOLDER", "--extension", "'"], "--extension '"),
    ],
)
def test_what_cannot_be_started_is_exit_code_2(tmp_path: Path, arguments: list[str], told: str) -> None:
    folder = str(write_function(tmp_path))
    done = ddx_local(*(folder if word == "FOLDER" else word for word in arguments))
    assert done.returncode == 2
    assert told in done.stderr


def test_interrupted_play_says_what_it_waits_for_and_is_no_success(tmp_path: Path) -> None:
    folder = write_function(tmp_path, a="{}", b='{"sleep":1}', c="{}")
    command = [sys.executable, "-m", "ddx_agent", "local", str(folder), "--no-extension"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("✓ a"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; an invocation that runs is seen to its end" in told
    assert "✓ c" not in rest


def test_serving_takes_invocations_until_it_is_stopped(tmp_path: Path) -> None:
    folder = write_function(tmp_path, a="{}")
    command = [
        sys.executable,
        "-m",
        "ddx_agent",
        "local",
        str(folder),
        "--serve",
        "--json",
        "--no-extension",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        url = f"{told['invoke_url']}/2015-03-31/functions/{told['function']}/invocations"
        with urllib.request.urlopen(url, data=b'{"n": 1}', timeout=30) as response:
            answer = json.loads(response.read())
        process.send_signal(signal.SIGTERM)
        document: dict[str, Any] = json.loads(process.stdout.read())
        assert process.wait(timeout=30) == 0
    assert answer["event"] == {"n": 1}
    assert document["lives"][0]["reason"] == "spindown"
    assert not os.path.exists(f"/proc/{answer['pid']}")


def test_platform_that_is_killed_takes_its_frozen_sandbox_with_it(tmp_path: Path) -> None:
    folder = write_function(tmp_path, a="{}")
    command = [
        sys.executable,
        "-m",
        "ddx_agent",
        "local",
        str(folder),
        "--serve",
        "--json",
        "--no-extension",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        url = f"{told['invoke_url']}/2015-03-31/functions/{told['function']}/invocations"
        with urllib.request.urlopen(url, data=b"{}", timeout=30) as response:
            pid = json.loads(response.read())["pid"]
        process.kill()
    deadline = time.monotonic() + 10
    while process_state(pid) not in ("", "Z"):
        assert time.monotonic() < deadline, "the runtime is still there"
        time.sleep(0.02)
    while list(Path("/sys/fs/cgroup").glob(f"**/ddx-{process.pid}-*")):
        assert time.monotonic() < deadline, "the cgroup is still there"
        time.sleep(0.02)
