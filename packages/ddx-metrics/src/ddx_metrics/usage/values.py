"""Usage: what an invocation used of the machine, as values of enhanced metrics. Synchronous.

Rules of this file:
- A group whose readings are missing or make no sense (a counter that ran backwards) is left out; a share is between none
  and all.
- Peaks are kept from `reset` on, raised by `sample`, and told together with one last sample.
Units are those of Datadog's documentation: bytes, milliseconds, percent; `cpu_total_utilization` is in cores.
"""

from __future__ import annotations

import msgspec

from ..sample import Values
from .proc import Cpu, Network
from .read import ProcReader


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the counters stood at; None where they could not be read."""

    network: Network | None = None
    cpu: Cpu | None = None
    uptime_ms: float | None = None


class Usage:
    """One machine's, read by `reader`."""

    def __init__(self, reader: ProcReader) -> None:
        self._reader = reader
        self._pids: list[str] = []
        self._limits: tuple[int, int] | None = None
        self.reset()

    def read(self) -> Reading:
        reader = self._reader
        return Reading(network=reader.network(), cpu=reader.cpu(), uptime_ms=reader.uptime_ms())

    def used(self, before: Reading, after: Reading) -> Values:
        """Network bytes and CPU time."""
        return network_values(before.network, after.network) + cpu_time_values(before.cpu, after.cpu)

    def busy(self, before: Reading, after: Reading | None = None) -> Values:
        """How busy the cores were, until `after` or until now."""
        return utilization_values(before, after or Reading(cpu=self._reader.cpu(), uptime_ms=self._reader.uptime_ms()))

    # --- peaks ---

    def reset(self) -> None:
        self._tmp_used = self._descriptors = self._threads = 0

    def sample(self) -> None:
        reader = self._reader
        pids = reader.pids()
        if pids != self._pids:
            # Limits are nearly always set before a process does anything else: read once for the same processes.
            self._pids, self._limits = pids, None
        space = reader.tmp()
        if space is not None:
            self._tmp_used = max(self._tmp_used, space.used)
        self._descriptors = max(self._descriptors, reader.descriptors(pids))
        self._threads = max(self._threads, reader.threads(pids) or 0)

    def peak_values(self) -> Values:
        """fd_max and threads_max, and of /tmp, descriptors and threads the most that was seen in use."""
        self.sample()
        if self._limits is None:
            self._limits = self._reader.limits(self._pids)
        files, threads = self._limits
        values: Values = [("fd_max", float(files)), ("threads_max", float(threads))]
        if self._tmp_used:
            values.append(("tmp_used", float(self._tmp_used)))
            space = self._reader.tmp()
            if space is not None:
                values.append(("tmp_max", float(space.size)))
                values.append(("tmp_free", float(max(0, space.size - self._tmp_used))))
        if self._descriptors:
            values.append(("fd_use", float(self._descriptors)))
        if self._threads:
            values.append(("threads_use", float(self._threads)))
        return values


def network_values(before: Network | None, after: Network | None) -> Values:
    """rx_bytes, tx_bytes, total_network."""
    if before is None or after is None:
        return []
    received, sent = after.rx_bytes - before.rx_bytes, after.tx_bytes - before.tx_bytes
    if received < 0 or sent < 0:
        return []
    return [
        ("rx_bytes", float(received)),
        ("tx_bytes", float(sent)),
        ("total_network", float(received + sent)),
    ]


def cpu_time_values(before: Cpu | None, after: Cpu | None) -> Values:
    """cpu_user_time, cpu_system_time, cpu_total_time."""
    if before is None or after is None:
        return []
    user_ms, system_ms = after.user_ms - before.user_ms, after.system_ms - before.system_ms
    if user_ms < 0 or system_ms < 0:
        return []
    return [("cpu_user_time", user_ms), ("cpu_system_time", system_ms), ("cpu_total_time", user_ms + system_ms)]


def utilization_values(before: Reading, after: Reading) -> Values:
    """How busy the cores were in between: all of them (percent, and in cores), the busiest and the idlest one."""
    if before.cpu is None or after.cpu is None or before.uptime_ms is None or after.uptime_ms is None:
        return []
    elapsed_ms = after.uptime_ms - before.uptime_ms
    if elapsed_ms <= 0:
        return []
    cores = len(after.cpu.idle_by_core_ms)
    capacity_ms = elapsed_ms * cores
    busy = _share(capacity_ms - (after.cpu.idle_ms - before.cpu.idle_ms), capacity_ms)
    values: Values = [
        ("cpu_total_utilization_pct", busy * 100),
        ("cpu_total_utilization", busy * cores),
        ("num_cores", float(cores)),
    ]
    idle_ms = [
        max(0.0, end - before.cpu.idle_by_core_ms[core])
        for core, end in after.cpu.idle_by_core_ms.items()
        if core in before.cpu.idle_by_core_ms
    ]
    if idle_ms:
        values.append(("cpu_max_utilization", _share(elapsed_ms - min(idle_ms), elapsed_ms) * 100))
        values.append(("cpu_min_utilization", _share(elapsed_ms - max(idle_ms), elapsed_ms) * 100))
    return values


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole))
