"""All processes of one sandbox life as a group: stopped and continued together, measured, killed.

A process belongs to it when its session was started by the sandbox, when its parent belongs to it, or when its
environment names the sandbox's own Runtime API address: so also a daemon that left its session and its parent.
SIGSTOP and SIGCONT go to every member by its pid, since groups and sessions can be left. A member that a fault stopped
stays stopped over a thaw.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from . import procfs

_rounds = 5


class Members:
    def __init__(self, runtime_api: str) -> None:
        self._marker = marker_of(runtime_api).encode()
        self._sessions: set[int] = set()
        self._stopped_by_fault: set[int] = set()
        self._strangers: set[tuple[int, int]] = set()
        """Who was found not to belong, by pid and start: an environment is read once per process."""
        self._known: list[int] = []
        """Pids of the members that the last scan found."""

    def add(self, pid: int) -> None:
        """A process that the sandbox has started as the leader of a session."""
        self._sessions.add(pid)

    def scan(self) -> list[procfs.Process]:
        """Look through all processes of the machine for the members that live."""
        processes = [
            process for process in procfs.all_processes() if not process.is_gone and process.pid != os.getpid()
        ]
        inside = {process.pid for process in processes if not self._sessions.isdisjoint((process.pid, process.session))}
        strangers: set[tuple[int, int]] = set()
        for process in processes:
            name = (process.pid, process.started)
            if process.pid in inside:
                continue
            if name not in self._strangers and _has_marker(process.pid, self._marker):
                inside.add(process.pid)
            else:
                strangers.add(name)
        self._strangers = strangers
        while more := {process.pid for process in processes if process.parent in inside} - inside:
            inside |= more
        found = [process for process in processes if process.pid in inside]
        self._known = [process.pid for process in found]
        return found

    def freeze(self) -> None:
        """Stop everything; repeats until no running member is left, as one may fork while others are stopped."""
        for _ in range(_rounds):
            running = [process.pid for process in self.scan() if not process.is_stopped]
            if not running:
                break
            _send(signal.SIGSTOP, running)

    def thaw(self) -> None:
        """Continue the members that the freeze found: while frozen nobody can start another."""
        _send(signal.SIGCONT, [pid for pid in self._known if pid not in self._stopped_by_fault])

    def disturb(self, number: int, pids: Iterable[int]) -> None:
        """Send a scripted fault's signal."""
        targets = list(pids)
        if number == signal.SIGSTOP:
            self._stopped_by_fault.update(targets)
        _send(number, targets)

    def kill(self) -> None:
        for _ in range(_rounds):
            alive = [process.pid for process in self.scan()]
            if not alive:
                return
            _send(signal.SIGKILL, alive)

    def resident_bytes(self) -> int:
        """Of the members that the last scan found: cheap enough to be asked many times a second."""
        return procfs.resident_bytes(self._known)

    def proportional_bytes(self) -> int:
        return procfs.proportional_bytes(self._known)


def marker_of(runtime_api: str) -> str:
    """What every process of the sandbox has in its environment, and no other: the platform's port is its own."""
    return f"AWS_LAMBDA_RUNTIME_API={runtime_api}"


def _has_marker(pid: int, marker: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return marker in file.read(1 << 20).split(b"\0")
    except OSError:
        return False


def _send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
