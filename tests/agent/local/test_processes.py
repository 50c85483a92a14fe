"""Child processes of a sandbox: output, membership, freeze, memory, and the CPU share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from ddx_agent.local import procfs
from ddx_agent.local.cpu_share import CpuShare, open_cpu_share, share_of
from ddx_agent.local.members import Members
from ddx_agent.local.process import Child, describe_exit, start_child
from tests.support.local_platform import process_state

# Starts a daemon: its own session, and no parent among us once the process between has ended.
daemon = """
import os, subprocess, sys, time
code = "import os, time; os.setsid(); os.fork() and os._exit(0); print(os.getpid(), flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-I", "-S", "-c", code]).wait()
time.sleep(600)
"""


async def start(code: str, lines: list[str], *, runtime_api: str = "none") -> Child:
    environment = {"AWS_LAMBDA_RUNTIME_API": runtime_api}
    return await start_child(
        "child", [sys.executable, "-I", "-S", "-c", code], environment, cwd="/", on_line=lines.append
    )


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
        "child", [sys.executable, "-I", "-S", "-c", code], {}, cwd="/", on_line=lines.append, log_frames="FRAMES"
    )
    await child.serve(lambda _: None)
    assert lines == ["one\ntwo"]


async def test_daemon_that_left_its_session_is_still_a_member() -> None:
    lines: list[str] = []
    exits: list[int] = []
    members = Members("127.0.0.1:1")
    child = await start(daemon, lines, runtime_api="127.0.0.1:1")
    members.add(child.pid)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.serve, exits.append)
        with trio.fail_after(5):
            while not lines:
                await trio.testing.wait_all_tasks_blocked(0.01)
        pid = int(lines[0])
        members.freeze()
        with trio.fail_after(5):
            # A process stops when it is next scheduled.
            while [process_state(child.pid), process_state(pid)] != ["T", "T"]:
                await trio.testing.wait_all_tasks_blocked(0.01)
        members.thaw()
        assert process_state(pid) in ("S", "R")
        assert members.resident_bytes() > 2 << 20
        assert 0 < members.proportional_bytes() <= members.resident_bytes()
        members.kill()
        nursery.cancel_scope.deadline = trio.current_time() + 5
    assert members.scan() == []


def test_stat_line_survives_any_program_name() -> None:
    line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1024 5 18446744073709551615"
    process = procfs.parse_stat(line)
    assert process is not None
    assert (process.pid, process.state, process.parent, process.session, process.started) == (7, "S", 1, 7, 99)
    assert process.rss == 5 * os.sysconf("SC_PAGE_SIZE")
    assert procfs.parse_stat("") is None


def test_ps_tells_the_same_where_there_is_no_proc() -> None:
    (process,) = procfs.parse_ps("  70   1  68 S+    2048\n\n")
    assert (process.pid, process.parent, process.session, process.state) == (70, 1, 68, "S")
    assert process.rss == 2 << 20


def test_descendants_are_found_below_their_root_only() -> None:
    rows = [
        procfs.Process(pid=pid, state="S", parent=parent, session=1, started=0, rss=0)
        for pid, parent in ((2, 1), (3, 2), (4, 3), (5, 1))
    ]
    assert procfs.descendants(2, rows) == [3, 4]


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


def test_share_grows_with_memory() -> None:
    assert share_of(1769) == 1
    assert share_of(128) == pytest.approx(0.07, abs=0.003)


def test_cpu_share_is_enforced_or_says_why_not() -> None:
    share = open_cpu_share(f"ddx-test-{os.getpid()}")
    if share.folder is None:
        assert share.unavailable
        return
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        share.add(sleeper.pid)
        share.limit(0.5)
        assert str(sleeper.pid) in (share.folder / "cgroup.procs").read_text().split()
        quota = share.folder / ("cpu.cfs_quota_us" if share.version == 1 else "cpu.max")
        assert quota.read_text().split()[0] == "50000"
        share.limit(None)
        assert quota.read_text().split()[0] in ("-1", "max")
    finally:
        sleeper.kill()
        sleeper.wait()
        share.close()
    assert not share.folder.exists()


def test_missing_cpu_share_is_no_failure(tmp_path: Path) -> None:
    share = CpuShare(None, unavailable="no cgroups")
    share.add(1)
    share.limit(0.1)
    share.close()
