"""Every example of the README runs as printed, in a fresh interpreter as its reader has, against a real intake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import zstandard

from ddx_core.http import Request, Response, Route, Routes, open_tcp_listener, serve_http
from ddx_core.http import json as json_response

readme = Path(__file__).parents[2] / "packages" / "ddx-logs" / "README.md"


def examples() -> list[str]:
    parts = readme.read_text(encoding="utf-8").split("```python\n")[1:]
    return [part.partition("```")[0] for part in parts]


@asynccontextmanager
async def intake(entries: list[dict[str, Any]], *, refusals: int = 0) -> AsyncGenerator[dict[str, str]]:
    """Environment variables of a program that is to send to an intake here; what it sends is added to `entries`, after
    so many requests that are answered 503."""
    left = refusals

    async def receive(request: Request) -> Response:
        nonlocal left
        assert request.headers["dd-api-key"] == "my_test_key"
        if left:
            left -= 1
            return json_response({}, 503)
        body = zstandard.ZstdDecompressor().decompressobj().decompress(request.body)
        entries.extend(msgspec.json.decode(body, type=list[dict[str, Any]]))
        return json_response({}, 202)

    listener = await open_tcp_listener("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            serve_http, [listener], Routes([Route(("POST",), "/api/v2/logs", receive, max_body=8 << 20)])
        )
        with trio.fail_after(50):
            port = listener.socket.getsockname()[1]
            yield {**os.environ, "LOGS_URL": f"http://127.0.0.1:{port}", "DD_API_KEY": "my_test_key"}
        nursery.cancel_scope.cancel()


def test_reading_and_encoding_gives_what_the_readme_says() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", examples()[0]], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    plain, structured, body = run.stdout.splitlines()
    assert plain == "info cart 7 is ready ()"
    assert structured == """error {"level":"ERROR","message":"no such cart"} ('team:checkout',)"""
    first, second = json.loads(body)
    assert first["message"]["lambda"]["request_id"] == "a-request-id"
    assert second["ddtags"] == "env:dev,team:checkout"


@pytest.mark.system
async def test_collector_ships_every_line_of_its_standard_input() -> None:
    entries: list[dict[str, Any]] = []
    lines = "".join(f"line {number} of a program's output\n" for number in range(3_000))
    async with intake(entries) as environ:
        done = await trio.run_process(
            [sys.executable, "-c", examples()[1]], stdin=lines.encode(), env=environ, capture_stderr=True
        )
    assert [entry["message"] for entry in sorted(entries, key=_number)] == lines.splitlines()
    assert entries[0]["service"] == "orders"
    assert b"delivered=Amount(items=3000" in done.stderr


@pytest.mark.system
async def test_collector_waits_for_an_intake_that_is_away_at_its_end() -> None:
    entries: list[dict[str, Any]] = []
    async with intake(entries, refusals=6) as environ:
        done = await trio.run_process(
            [sys.executable, "-c", examples()[1]], stdin=b"one\ntw\xff\n", env=environ, capture_stderr=True
        )
    assert [entry["message"] for entry in entries] == ["one", "tw\N{REPLACEMENT CHARACTER}"]
    assert b"held=Amount(items=0" in done.stderr


async def test_collector_reads_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("from a file\n")
    entries: list[dict[str, Any]] = []
    async with intake(entries) as environ:
        code = examples()[1]
        await trio.run_process(
            [sys.executable, "-c", code, str(tmp_path / "log")], stdin=b"", env=environ, capture_stderr=True
        )
    assert [entry["message"] for entry in entries] == ["from a file"]


async def test_asyncio_program_ships_masked_lines() -> None:
    entries: list[dict[str, Any]] = []
    async with intake(entries) as environ:
        done = await trio.run_process(
            [sys.executable, "-W", "error", "-c", examples()[2]], stdin=b"", env=environ, capture_stdout=True
        )
    assert [entry["message"] for entry in entries] == ["order 7 taken", "paid with 4111***"]
    assert b"delivered" in done.stdout.lower()


def _number(entry: dict[str, Any]) -> int:
    return int(entry["message"].split()[1])
