"""The CPU share of a memory size, enforced by a cgroup's quota where this machine lets us make one.

Lambda gives one vCPU per 1,769 MB (its documentation, "Configure Lambda function memory"). During init a function has
at least one whole vCPU whatever its memory; the share applies afterwards.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

mb_per_cpu = 1769
_period_us = 100_000
_v1_root = Path("/sys/fs/cgroup/cpu")
_v2_root = Path("/sys/fs/cgroup")


def share_of(memory_mb: int) -> float:
    """vCPUs for a memory size: 0.07 at 128 MB, 1 at 1,769, 5.79 at 10,240."""
    return memory_mb / mb_per_cpu


class CpuShare(msgspec.Struct):
    """A cgroup of the sandbox's own, or the reason why there is none."""

    folder: Path | None
    version: int = 0
    unavailable: str | None = None

    def add(self, pid: int) -> None:
        if self.folder is not None:
            _write(self.folder / "cgroup.procs", str(pid))

    def limit(self, cpus: float | None) -> None:
        """Set the quota; `None` lifts it."""
        if self.folder is None:
            return
        # The kernel refuses quotas below one millisecond.
        quota = -1 if cpus is None else max(1000, int(cpus * _period_us))
        if self.version == 1:
            _write(self.folder / "cpu.cfs_quota_us", str(quota))
        else:
            _write(self.folder / "cpu.max", f"{'max' if quota < 0 else quota} {_period_us}")

    def close(self) -> None:
        """Remove the cgroup; it must have no processes any more. One that cannot be removed is left."""
        if self.folder is not None:
            try:
                self.folder.rmdir()
            except OSError:
                return


def open_cpu_share(name: str) -> CpuShare:
    if (_v1_root / "cpu.cfs_quota_us").exists() or (_v1_root / "cgroup.procs").exists():
        return _try(_v1_root / name, "cpu.cfs_quota_us", 1) or CpuShare(None, unavailable="may not make a cgroup")
    if not (_v2_root / "cgroup.controllers").exists():
        return CpuShare(None, unavailable="this machine has no cgroup file system")
    own = _own_v2_folder()
    for parent in dict.fromkeys((own, own.parent, _v2_root)):
        found = _try(parent / name, "cpu.max", 2)
        if found is not None:
            return found
    return CpuShare(None, unavailable="no cgroup with the cpu controller may be made here")


def _own_v2_folder() -> Path:
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                return _v2_root / line[4:]
    except OSError:
        pass
    return _v2_root


def _try(folder: Path, quota_file: str, version: int) -> CpuShare | None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    if os.access(folder / quota_file, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
        return CpuShare(folder, version)
    try:
        folder.rmdir()
    except OSError:
        return None
    return None


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError:
        # A process that has just ended, or a quota above what a parent allows: the share is a help, never a failure.
        return
