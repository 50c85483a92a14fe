"""TimeMark: one point in time that outlives the process, for the next one in the same sandbox.

It is the time of change of an empty file beside the spool. A file is made once for a sandbox; after that a mark costs one
system call. Nothing raises: where the disk says no, the next process knows of no mark.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress


class TimeMark:
    """`path` is the file; its folder is made if need be."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> int:
        """Unix seconds; 0 when there is no mark of ours."""
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return 0
        return int(found.st_mtime) if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() else 0

    def write(self, time_s: int) -> None:
        with suppress(OSError):
            try:
                self._set(time_s)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                os.close(
                    os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                )
                self._set(time_s)

    def _set(self, time_s: int) -> None:
        os.utime(self._path, (time_s, time_s), follow_symlinks=False)
