"""One child process of a sandbox: its output as lines, and its end."""

from __future__ import annotations

import os
import signal
import sys

import pytest
import trio

from ddx_agent.local.processes.child import Child, describe_exit, start_child


async def start(code: str, lines: list[str]) -> Child:
    return await start_child([sys.executable, "-I", "-S", "-c", code], {}, cwd="/", on_line=lines.append)


async def test_output_of_both_streams_comes_as_lines_and_the_exit_is_told() -> None:
    lines: list[str] = []
    exits: list[int] = []
    child = await start("import os; os.write(1, b'out\\n'); os.write(2, b'err\\nlast'); os._exit(3)", lines)
    await child.serve(exits.append)
    assert lines == ["out", "err", "last"]
    assert (exits, child.exit_code) == ([3], 3)


async def test_pipe_held_open_by_a_grandchild_delays_nothing() -> None:
    lines: list[str] = []
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    child = await start(code, lines)
    with trio.fail_after(5):
        await child.serve(lambda _: None)
    os.kill(int(lines[0]), signal.SIGKILL)


async def test_framed_messages_arrive_whole() -> None:
    lines: list[str] = []
    code = (
        "import os; m = b'one\\ntwo';"
        "os.write(int(os.environ['FRAMES']), b'\\xa5\\x5a\\x00\\x03' + len(m).to_bytes(4, 'big') + bytes(8) + m)"
    )
    child = await start_child(
        [sys.executable, "-I", "-S", "-c", code], {}, cwd="/", on_line=lines.append, log_frames="FRAMES"
    )
    await child.serve(lambda _: None)
    assert lines == ["one\ntwo"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-9, "signal: killed"),
        (-15, "signal: terminated"),
        (-1, "signal: hup"),
    ],
)
def test_exit_is_described_in_lambdas_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
