"""A server on a Unix socket: who may connect, and what it does about what lies in its place."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
import trio

from ddx_core.http import Request, Response, Route, Routes, open_unix_listener, serve_http, text
from tests.support.http_client import get, post
from tests.support.streams import read_until


async def greet(request: Request) -> Response:
    return text(f"{request.peer} {len(request.body)}")


routes = Routes([Route(("GET", "POST"), "/hello", greet)])


async def ask(path: Path, request: bytes) -> bytes:
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(request)
        return await read_until(stream, lambda data: b"\r\n\r\n" in data and not data.endswith(b"\r\n\r\n"))


async def test_requests_are_answered_and_anyone_may_connect(tmp_path: Path, nursery: trio.Nursery) -> None:
    path = tmp_path / "apm.socket"
    await nursery.start(serve_http, [open_unix_listener(str(path))], routes)
    assert stat.S_IMODE(path.stat().st_mode) == 0o722
    assert (await ask(path, get("/hello"))).endswith(b"unix 0")
    assert (await ask(path, post("/hello", b"x" * 300_000))).endswith(b"unix 300000")


async def test_socket_that_nobody_listens_on_is_replaced(tmp_path: Path, nursery: trio.Nursery) -> None:
    path = tmp_path / "apm.socket"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    await nursery.start(serve_http, [open_unix_listener(str(path))], routes)
    assert (await ask(path, get("/hello"))).endswith(b"unix 0")


async def test_socket_in_use_is_left_to_its_owner(tmp_path: Path, nursery: trio.Nursery) -> None:
    path = tmp_path / "apm.socket"
    await nursery.start(serve_http, [open_unix_listener(str(path))], routes)
    with pytest.raises(OSError, match="somebody else"):
        open_unix_listener(str(path))
    assert (await ask(path, get("/hello"))).endswith(b"unix 0")


async def test_file_in_the_way_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "apm.socket"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(OSError, match="something else"):
        open_unix_listener(str(path))
    assert path.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("name", ["missing/apm.socket", "x" * 200])
async def test_places_where_none_can_be_are_told(tmp_path: Path, name: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"."):
        open_unix_listener(str(tmp_path / name))
    assert len(os.listdir("/proc/self/fd")) == before
