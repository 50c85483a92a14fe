"""The platform's side of `guardian.py`: starts it, and tells it which processes there are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_guardian = Path(__file__).with_name("guardian.py")


class Guard:
    """A guardian process. What it is told are a few bytes, which its pipe takes at once."""

    def __init__(self, marker: str, cgroup: Path | None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", str(_guardian), marker, *([] if cgroup is None else [str(cgroup)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={},
        )

    def started(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def gone(self, pids: Iterable[int]) -> None:
        self._tell("".join(f"-{pid}\n" for pid in pids))

    def close(self) -> None:
        """The platform ends in good order."""
        self._tell("bye\n")
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, text: str) -> None:
        assert self._process.stdin is not None
        # A guardian that somebody has killed is no reason to fail.
        with suppress(OSError):
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()
