"""`ddx intake` as a process: what it prints, how it ends, and what it says when it cannot start."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ddx_agent.local.command.intake import add_arguments, describe_request, run_intake
from ddx_agent.local.intake import ReceivedRequest
from tests.support.plain_http import no_authorities

run = """
import argparse, trio
from ddx_agent.local.command.intake import add_arguments, run_intake
parser = argparse.ArgumentParser()
add_arguments(parser)
raise SystemExit(trio.run(run_intake, parser.parse_args()))
"""


@contextmanager
def intake_process(*arguments: str) -> Generator[subprocess.Popen[str], None, None]:
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        [sys.executable, "-c", run, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def post(url: str, path: str, body: Any) -> int:
    return httpx.post(
        url + path, json=body, headers={"DD-API-KEY": "k"}, trust_env=False, verify=no_authorities()
    ).status_code


def test_prints_json_lines_and_the_totals_when_interrupted(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"logs": [503]}')
    with intake_process("--json", "--script", f"@{script}", "--db", str(tmp_path / "intake.db")) as process:
        url = json.loads(line(process))["url"]
        assert [post(url, "/api/v2/logs", [{"message": "m"}]) for _ in range(2)] == [503, 202]
        assert [json.loads(line(process))["status"] for _ in range(2)] == [503, 202]
        process.send_signal(signal.SIGINT)
        totals = json.loads(line(process))["totals"]
        assert (totals["requests"], totals["refused"], totals["logs"]) == (2, 1, 1)
        assert process.wait(10) == 0
    assert (tmp_path / "intake.db").exists()


def test_prints_a_line_for_each_request_for_people() -> None:
    with intake_process() as process:
        url = line(process).split()[2].rstrip(",")
        assert f"DD_DD_URL={url}" in line(process)
        post(url, "/api/v2/logs", [{"message": "m"}])
        assert line(process).split()[1:5] == ["logs", "202", "1", "items"]
        process.send_signal(signal.SIGTERM)
        assert line(process) == "\n"
        assert line(process).startswith("1 requests (0 refused), 1 logs, ")
        assert process.wait(10) == 0


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


async def test_says_why_it_cannot_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("no database, and long enough to be seen as such " * 20)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, reason in (
            (["--port", port], f"port {port}/tcp (the intake) is held by pid {os.getpid()} ("),
            (["--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1:0 (the intake): "),
            (["--port", "0", "--db", str(other)], "notes.txt"),
            (["--port", "0", "--script", '{"log": [503]}'], "selector 'log'"),
            (["--port", "0", "--script", "@/no/such/file"], "No such file"),
        ):
            assert await run_intake(options(*arguments)) == 2
            assert reason in capsys.readouterr().err


def test_what_clients_send_cannot_drive_the_terminal() -> None:
    record = ReceivedRequest(
        id=1, kind="other", arrived_s=0, method="POST", path="/\x1b[2J\n", query="", headers={"content-encoding": "zstd"},
        wire_bytes=812, decoded_bytes=3400, status=None, answer="reset_after_read", accepted=True, items=1, samples=1,
        error=None, key_id=None, key_end=None, fingerprint="",
    )  # fmt: skip
    text = describe_request(record)
    assert text.isprintable()
    assert "POST /\\x1b[2J\\x0a  [reset_after_read]" in text
    assert "3.4 kB (zstd 812 B)" in text
