"""Outlives a platform that is killed, and takes its sandbox with it: frozen processes would hold ports and memory for ever.

Run by path as `python -I -S guardian.py MARKER [CGROUP]` in a session of its own. Standard input tells, a line each,
`+PID` for the leader of a new session, `-PID` when it is gone, and `bye` at an orderly end. The end of input without it
means that the platform has died: every process of those sessions, and every one whose environment holds MARKER, is
killed, and the sandbox's cgroup is removed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress


def main(marker: str, cgroup: str | None = None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        word = line.strip()
        if word == "bye":
            return
        if word.startswith("+"):
            sessions.add(int(word[1:]))
        elif word.startswith("-"):
            sessions.discard(int(word[1:]))
    for _ in range(5):
        if not kill_all(sessions, marker.encode()):
            break
        time.sleep(0.02)
    if cgroup is not None:
        with suppress(OSError):
            os.rmdir(cgroup)


def kill_all(sessions: set[int], marker: bytes) -> int:
    """Kill what there is; gives how many that were."""
    killed = 0
    if not os.path.isdir("/proc"):
        for pid in sessions:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        return killed
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                state, _, _, session = file.read().rpartition(")")[2].split()[:4]
            with open(f"/proc/{name}/environ", "rb") as file:
                environment = file.read().split(b"\0")
        except (OSError, ValueError):
            continue
        if state in "ZX" or not (int(session) in sessions or marker in environment):
            continue
        try:
            os.kill(int(name), signal.SIGKILL)
            killed += 1
        except OSError:
            continue
    return killed


if __name__ == "__main__":
    main(*sys.argv[1:3])
