"""ProcReader: the files that proc.py reads, from a machine or from a folder that plays one.

Rule: what cannot be read or understood is None, never an error: processes come and go, and kernels hide things.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from ddx_core.errors import MalformedInput

from .proc import Cpu, Network, parse_cpu, parse_network, parse_soft_limit, parse_uptime_ms

T = TypeVar("T")

# What Lambda allows; a process may have been given less.
highest_limit: Final = 1024
_most_bytes: Final = 1 << 18


class Space(msgspec.Struct, frozen=True):
    """Bytes of a file system; `used` is what an unprivileged user does not get any more."""

    used: int
    size: int


class ProcReader:
    """`proc` and `tmp` are folders. Every method reads anew and takes a fraction of a millisecond."""

    def __init__(self, proc: str = "/proc", tmp: str = "/tmp", *, ticks_per_s: int | None = None) -> None:  # noqa: S108
        self._proc = proc
        self._tmp = tmp
        self._ticks_per_s = ticks_per_s or os.sysconf("SC_CLK_TCK")

    def network(self) -> Network | None:
        return self._parsed("net/dev", parse_network)

    def cpu(self) -> Cpu | None:
        return self._parsed("stat", lambda text: parse_cpu(text, self._ticks_per_s))

    def uptime_ms(self) -> float | None:
        return self._parsed("uptime", parse_uptime_ms)

    def pids(self) -> list[str]:
        try:
            with os.scandir(self._proc) as entries:
                return [each.name for each in entries if each.name.isdecimal() and each.is_dir()]
        except OSError:
            return []

    def limits(self, pids: list[str]) -> tuple[int, int]:
        """The lowest soft limits of any of these processes: of open files, and of processes and threads."""
        files = threads = highest_limit
        for pid in pids:
            text = self._read(f"{pid}/limits")
            if text is not None:
                limit = parse_soft_limit(text, b"Max open files")
                files = files if limit is None else min(files, limit)
                limit = parse_soft_limit(text, b"Max processes")
                threads = threads if limit is None else min(threads, limit)
        return files, threads

    def descriptors(self, pids: list[str]) -> int:
        """Open file descriptors of all these processes; of those that cannot be looked at, none."""
        count = 0
        for pid in pids:
            try:
                count += len(os.listdir(f"{self._proc}/{pid}/fd"))
            except OSError:
                continue
        return count

    def threads(self, pids: list[str]) -> int | None:
        """None when no process at all could be looked at."""
        count = 0
        for pid in pids:
            try:
                with os.scandir(f"{self._proc}/{pid}/task") as tasks:
                    count += sum(each.is_dir() for each in tasks)
            except OSError:
                continue
        return count or None

    def tmp(self) -> Space | None:
        try:
            told = os.statvfs(self._tmp)
        except OSError:
            return None
        return Space(used=told.f_frsize * (told.f_blocks - told.f_bavail), size=told.f_frsize * told.f_blocks)

    def _parsed(self, name: str, parse: Callable[[bytes], T]) -> T | None:
        text = self._read(name)
        if text is None:
            return None
        try:
            return parse(text)
        except MalformedInput:
            return None

    def _read(self, name: str) -> bytes | None:
        # Plain calls: a file object costs several times as much, on the function's own CPU.
        try:
            descriptor = os.open(f"{self._proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        pieces: list[bytes] = []
        left = _most_bytes
        try:
            while left > 0 and (piece := os.read(descriptor, min(left, 65536))):
                pieces.append(piece)
                left -= len(piece)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return b"".join(pieces)
