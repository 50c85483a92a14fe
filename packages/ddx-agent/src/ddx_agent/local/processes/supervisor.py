"""The processes of one sandbox life: started, watched for their memory, frozen and thawed, and killed at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from . import procfs
from .child import Child, OnOutputLine, start_child
from .cpu_share import CpuShare
from .guard import Guard
from .members import Members

max_tasks = 64
# A scan of /proc costs some milliseconds; between scans only the members that are known are looked at.
_samples_per_scan = 10
_reap_s = 2.0


class Supervisor:
    def __init__(
        self,
        *,
        runtime_api: str,
        cpu: CpuShare,
        memory_limit: int,
        sample_s: float,
        on_memory_exceeded: Callable[[], None],
        guard: Guard | None,
    ) -> None:
        self._members = Members(runtime_api)
        self._cpu = cpu
        self._memory_limit = memory_limit
        self._sample_s = sample_s
        self._on_memory_exceeded = on_memory_exceeded
        self._guard = guard
        self._is_frozen = False
        self._children: list[Child] = []
        self._tasks, self._waiting_tasks = trio.open_memory_channel[Callable[[], Awaitable[None]]](max_tasks)
        self.peak_bytes = 0

    async def serve(self) -> None:
        """Run every task handed to `start_soon`, and the memory watch, until cancelled; kill all processes then."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_memory)
                async for task in self._waiting_tasks:
                    nursery.start_soon(task)
        finally:
            self._members.kill()
            with trio.move_on_after(_reap_s, shield=True):
                for child in self._children:
                    await child.wait()
            if self._guard is not None:
                self._guard.gone(child.pid for child in self._children)

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        self._tasks.send_nowait(task)

    async def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        cwd: str,
        on_line: OnOutputLine,
        on_exit: Callable[[int], None],
        log_frames: str | None = None,
    ) -> Child:
        # Starting runs in a thread, which nothing can cancel: a process is noted as soon as it exists.
        child = await start_child(command, environment, cwd=cwd, on_line=on_line, log_frames=log_frames)
        self._children.append(child)
        if self._guard is not None:
            self._guard.started(child.pid)
        self._members.add(child.pid)
        self._cpu.add(child.pid)
        self.start_soon(lambda: child.serve(on_exit))
        return child

    def limit_cpu(self, cpus: float | None) -> None:
        self._cpu.limit(cpus)

    def freeze(self) -> None:
        self._is_frozen = True
        self._members.freeze()

    def thaw(self) -> None:
        self._members.thaw()
        self._is_frozen = False

    def kill(self) -> None:
        self._members.kill()

    def disturb(self, number: int, pids: Sequence[int]) -> None:
        self._members.disturb(number, pids)

    def descendants(self, pid: int) -> list[int]:
        return procfs.descendants(pid, self._members.scan())

    def measure(self, *, scan: bool = True) -> int:
        """Resident bytes of all members; the highest value seen is kept."""
        if scan:
            self._members.scan()
        now = self._members.resident_bytes()
        # Forked processes share pages, which this sum counts for each of them: near the limit look closely.
        if now > self._memory_limit:
            now = self._members.proportional_bytes()
        self.peak_bytes = max(self.peak_bytes, now)
        return now

    async def _watch_memory(self) -> None:
        count = 0
        while True:
            await trio.sleep(self._sample_s)
            if self._is_frozen:
                continue
            if self.measure(scan=count % _samples_per_scan == 0) > self._memory_limit:
                self._on_memory_exceeded()
            count += 1
