"""What the kernel knows of other processes: CPU time, memory, children, ports. Linux."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """MiB. `pss` counts a page shared by n processes as 1/n of a page in each, so it can be added up; `peak` is of the RSS."""

    rss: float
    pss: float
    peak: float


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process, those that have ended included."""
    # The clock of another process, as clock_getcpuclockid(3) makes its number: /proc/PID/stat counts in steps of 10 ms.
    return time.clock_gettime((~pid << 3) | 2)


class MachineTime(NamedTuple):
    """What /proc/stat tells since the machine started, in ticks: of all cores, and how much of it the host gave to others."""

    all: int
    taken: int

    def taken_percent(self, since: MachineTime) -> float:
        return 100 * (self.taken - since.taken) / max(1, self.all - since.all)


def machine_time() -> MachineTime:
    # user, nice, system, idle, iowait, irq, softirq, steal; what guests used is part of user and nice.
    ticks = list(map(int, Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]))
    return MachineTime(all=sum(ticks), taken=ticks[7] if len(ticks) > 7 else 0)


def memory(pid: int) -> Memory:
    kib: dict[str, int] = {}
    for name in ("status", "smaps_rollup"):
        for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
            key, _, value = line.partition(":")
            if value.endswith(" kB"):
                kib[key] = int(value.split()[0])
    return Memory(rss=kib["Rss"] / 1024, pss=kib["Pss"] / 1024, peak=kib["VmHWM"] / 1024)


def children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def kernel_drops(udp_port: int) -> int | None:
    """How many datagrams the kernel dropped at the socket bound to that port; None: there is no such socket."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{udp_port:04X}"):
            return int(words[-1])
    return None


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port below those that the kernel hands out by itself: no connection that is made meanwhile can take it."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(10_000, 32_000)
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(condition: Callable[[], bool], what: str, *, limit_s: float = 10.0, pause_s: float = 0.005) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not in {limit_s:.0f} s")
        time.sleep(pause_s)


def wait_until_idle(pids: list[int], *, limit_s: float = 10.0) -> None:
    """Until the processes use no CPU worth the name for 100 ms."""
    last = sum(map(cpu_s, pids))

    def is_idle() -> bool:
        nonlocal last
        before, last = last, sum(map(cpu_s, pids))
        return last - before < 0.002

    time.sleep(0.1)
    wait_until(is_idle, f"processes {pids} at rest", limit_s=limit_s, pause_s=0.1)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def minimal_environment(**more: str) -> dict[str, str]:
    """Of this process's environment a measured program gets the search path alone."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/tmp"), **more}
