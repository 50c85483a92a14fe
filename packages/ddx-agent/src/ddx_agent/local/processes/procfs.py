"""Processes, their parents and their memory, read from /proc (and by `ps` where there is none)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

_page = os.sysconf("SC_PAGE_SIZE")
_proc = Path("/proc")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    state: str
    parent: int
    session: int
    started: int
    """Clock ticks since boot; with the pid it names a process for good."""
    rss: int

    @property
    def is_gone(self) -> bool:
        return self.state in "ZX"

    @property
    def is_stopped(self) -> bool:
        return self.state in "Tt"


def parse_stat(text: str) -> Process | None:
    """The line of /proc/PID/stat. The command name in it may hold spaces and parentheses."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    if len(fields) < 22:
        return None
    return Process(
        pid=int(head.split(" ", 1)[0]),
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        rss=int(fields[21]) * _page,
    )


def read_process(pid: int) -> Process | None:
    # One read(2) gives the whole line; a file object would cost three times as much.
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return parse_stat(os.read(descriptor, 4096).decode("ascii", "replace"))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse_ps(text: str) -> list[Process]:
    """The columns `pid ppid pgid stat rss` of ps(1). Process groups stand for sessions, whose ids not every system shows."""
    rows = [line.split() for line in text.splitlines()]
    return [
        Process(
            pid=int(row[0]), state=row[3][0], parent=int(row[1]), session=int(row[2]), started=0, rss=int(row[4]) * 1024
        )
        for row in rows
        if len(row) >= 5
    ]


def all_processes() -> list[Process]:
    if not _proc.is_dir():
        ps = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,rss="]
        return parse_ps(subprocess.run(ps, capture_output=True, text=True, check=False).stdout)  # noqa: S603
    found = (read_process(int(name)) for name in os.listdir(_proc) if name.isdigit())
    return [process for process in found if process is not None]


def descendants(root: int, processes: Iterable[Process]) -> list[int]:
    """Pids below `root`, without it."""
    rows = list(processes)
    found: set[int] = set()
    frontier = {root}
    while frontier:
        frontier = {row.pid for row in rows if row.parent in frontier} - found
        found |= frontier
    return sorted(found)


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory, pages that several of them share counted once for each."""
    if not _proc.is_dir():
        wanted = set(pids)
        return sum(process.rss for process in all_processes() if process.pid in wanted)
    return sum(process.rss for pid in pids if (process := read_process(pid)) is not None)


def proportional_bytes(pids: Iterable[int]) -> int:
    """Resident memory with shared pages divided among their users: exact, and dearer to read."""
    if not _proc.is_dir():
        return resident_bytes(pids)
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                text = file.read()
        except OSError:
            process = read_process(pid)
            total += process.rss if process is not None else 0
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
                break
    return total
