"""The mark in time: written, read, and nothing for whatever stands in its way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ddx_agent.time_mark import TimeMark

noon_s = 1_700_000_000


def test_what_one_process_writes_the_next_one_reads(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "told"
    assert TimeMark(str(path)).read() == 0
    mark = TimeMark(str(path))
    mark.write(noon_s)
    assert TimeMark(str(path)).read() == noon_s
    mark.write(noon_s + 7)
    assert TimeMark(str(path)).read() == noon_s + 7
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("way", ["folder", "link", "file in the way"])
def test_what_is_no_mark_is_none_and_left_alone(tmp_path: Path, way: str) -> None:
    path = tmp_path / "told"
    target = tmp_path / "target"
    target.write_text("kept")
    os.utime(target, (1, 1))
    match way:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(target)
        case _:
            path = target / "told"
    mark = TimeMark(str(path))
    assert mark.read() == 0
    mark.write(noon_s)
    assert mark.read() == 0
    assert (target.read_text(), target.stat().st_mtime) == ("kept", 1)
