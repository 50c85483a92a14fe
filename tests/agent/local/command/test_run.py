"""`ddx local` does not start with what it cannot have or use, and says so; its report reaches whoever reads it."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ddx_agent.local.command.options import add_arguments
from ddx_agent.local.command.run import run_local
from tests.support.local_platform import make_function

variables = {
    "DDX_LIFECYCLE_PORT": "lifecycle",
    "DD_DOGSTATSD_PORT": "dogstatsd",
    "DD_APM_RECEIVER_PORT": "traces",
    "DDX_TELEMETRY_PORT": "telemetry",
}


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


async def test_a_port_of_the_extension_that_is_taken_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_function(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        number = holder.getsockname()[1]
        moved = {**dict.fromkeys(variables, "0"), "DD_APM_RECEIVER_PORT": str(number)}
        settings = [f"--env={name}={value}" for name, value in moved.items()]
        assert await run_local(options(str(tmp_path), *settings)) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"ddx local: port {number}/tcp (traces) is held by pid {os.getpid()} (")
    assert "--no-extension" in told


@pytest.mark.parametrize(("option", "purpose"), [("--port", "the invoke endpoint"), ("--intake-port", "the intake")])
async def test_a_taken_port_of_its_own_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, purpose: str
) -> None:
    make_function(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        number = holder.getsockname()[1]
        assert await run_local(options(str(tmp_path), "--no-extension", option, str(number))) == 2
    assert f"ddx local: port {number}/tcp ({purpose}) is held by pid {os.getpid()} (" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--port", "65536"),
        ("--intake-port", "-1"),
        ("--keep-frozen-ms", "-5"),
        ("--keep-frozen-ms", "nan"),
        ("--repeat", "0"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(str(tmp_path), "=".join(wrong))
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err.splitlines()[-1]


async def test_an_event_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_function(tmp_path)
    (tmp_path / "events" / "10-folder.json").mkdir(parents=True)
    assert await run_local(options(str(tmp_path))) == 2
    assert capsys.readouterr().err == f"ddx local: {tmp_path / 'events' / '10-folder.json'}: Is a directory\n"


def local_process(folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    make_function(folder)
    (folder / "function.toml").write_text("[environment]\nRUNTIME_PLAN = '{}'\n")
    return subprocess.Popen(
        [sys.executable, "-m", "ddx_agent", "local", "--no-extension", "--no-cpu-share", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables},
    )


def test_report_is_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    with local_process(tmp_path, PYTHONIOENCODING="ascii") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert "✓ an empty event: success" in out.decode()


def test_reader_that_goes_away_ends_nothing_and_leaves_no_traceback(tmp_path: Path) -> None:
    with local_process(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
