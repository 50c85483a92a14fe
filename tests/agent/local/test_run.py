"""`ddx local` does not start when it cannot have its ports, and says who has them."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

import pytest

from ddx_agent.local.run import add_arguments, run_local
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
