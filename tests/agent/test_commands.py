"""The commands of `ddx` where a part of it is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddx_agent.commands import run_command


@pytest.mark.parametrize("arguments", [["local", "orders", "--json"], ["intake", "--port", "8127"]])
def test_command_that_is_not_installed_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ddx_agent.local.command.run", None)
    monkeypatch.delattr("ddx_agent.local.command.run", raising=False)
    assert run_command(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"ddx {arguments[0]}: the local Lambda and intake are not installed (")
    assert "./packages/ddx-agent[local]" in told


def test_option_that_no_command_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(["config", "--jsn"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --jsn" in capsys.readouterr().err


def test_command_whose_output_is_closed_does_its_work_all_the_same() -> None:
    command = [sys.executable, "-m", "ddx_agent", "config", "--schema"]
    done = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
