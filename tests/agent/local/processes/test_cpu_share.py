"""The CPU share of a memory size: its formula, and the cgroup that enforces it."""

from __future__ import annotations

import os
import subprocess

import pytest

from ddx_agent.local.processes.cpu_share import CpuShare, open_cpu_share, share_of


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


def test_missing_cpu_share_is_no_failure() -> None:
    share = CpuShare(None, unavailable="no cgroups")
    share.add(1)
    share.limit(0.1)
    share.close()
