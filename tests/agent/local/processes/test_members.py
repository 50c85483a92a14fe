"""All processes of a sandbox as a group: found, frozen, measured, killed."""

from __future__ import annotations

import sys

import trio
import trio.testing

from ddx_agent.local.processes.child import start_child
from ddx_agent.local.processes.members import Members
from tests.support.local_platform import process_state

# Starts a daemon: its own session, and no parent among us once the process between has ended.
daemon = """
import os, subprocess, sys, time
code = "import os, time; os.setsid(); os.fork() and os._exit(0); print(os.getpid(), flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-I", "-S", "-c", code]).wait()
time.sleep(600)
"""


async def test_daemon_that_left_its_session_is_still_a_member() -> None:
    lines: list[str] = []
    exits: list[int] = []
    members = Members("127.0.0.1:1")
    child = await start_child(
        [sys.executable, "-I", "-S", "-c", daemon],
        {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"},
        cwd="/",
        on_line=lines.append,
    )
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
