"""The kernel's tables of processes: lines into values."""

from __future__ import annotations

import os

from ddx_agent.local.processes import procfs


def test_stat_line_survives_any_program_name() -> None:
    line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1024 5 18446744073709551615"
    process = procfs.parse_stat(line)
    assert process is not None
    assert (process.pid, process.state, process.parent, process.session, process.started) == (7, "S", 1, 7, 99)
    assert process.rss == 5 * os.sysconf("SC_PAGE_SIZE")
    assert procfs.parse_stat("") is None


def test_ps_tells_the_same_where_there_is_no_proc() -> None:
    (process,) = procfs.parse_ps("  70   1  68 S+    2048\n\n")
    assert (process.pid, process.parent, process.session, process.state) == (70, 1, 68, "S")
    assert process.rss == 2 << 20


def test_descendants_are_found_below_their_root_only() -> None:
    rows = [
        procfs.Process(pid=pid, state="S", parent=parent, session=1, started=0, rss=0)
        for pid, parent in ((2, 1), (3, 2), (4, 3), (5, 1))
    ]
    assert procfs.descendants(2, rows) == [3, 4]
