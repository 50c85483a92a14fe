"""One child process of the sandbox: started in a session of its own, its output read as lines, its end awaited.

Output is read from the pipe's descriptor directly, so that what a process printed before it made a call can be taken
(`drain`) before that call's consequences are told to anyone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import trio

from .lines import FrameSplitter, LineSplitter

OnOutputLine = Callable[[str], None]

_read_size = 65536
# After a process has ended its pipes may be held open by others; what is already in them is read at once.
_linger_s = 0.2


class _Splitter(Protocol):
    def feed(self, data: bytes) -> list[str]: ...

    def finish(self) -> list[str]: ...


class _Output:
    """The reading end of one pipe."""

    def __init__(self, descriptor: int, splitter: _Splitter, on_line: OnOutputLine) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._splitter = splitter
        self._on_line = on_line

    def drain(self) -> bool:
        """Take what is there without waiting. False at the end of the output."""
        while self._descriptor is not None:
            try:
                data = os.read(self._descriptor, _read_size)
            except BlockingIOError:
                return True
            if not data:
                self.close()
                break
            self._tell(self._splitter.feed(data))
        return False

    async def serve(self) -> None:
        while self._descriptor is not None and self.drain():
            try:
                await trio.lowlevel.wait_readable(self._descriptor)
            except trio.ClosedResourceError:
                return

    def _tell(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._on_line(line)

    def close(self) -> None:
        if self._descriptor is not None:
            trio.lowlevel.notify_closing(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            self._tell(self._splitter.finish())


class Child:
    """A running process. `pid` is also the id of its session and of its first process group."""

    def __init__(self, process: trio.Process, outputs: Sequence[_Output]) -> None:
        self.pid = process.pid
        self._process = process
        self._outputs = outputs

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal, as in `subprocess`."""
        return self._process.returncode

    def drain(self) -> None:
        for output in self._outputs:
            output.drain()

    async def serve(self, on_exit: Callable[[int], None]) -> None:
        """Read the output until the process ends, then say so. Closes the pipes on the way out."""
        try:
            async with trio.open_nursery() as reading:
                for output in self._outputs:
                    reading.start_soon(output.serve)
                code = await self._process.wait()
                self.drain()
                on_exit(code)
                reading.cancel_scope.deadline = trio.current_time() + _linger_s
        finally:
            for output in self._outputs:
                output.drain()
                output.close()

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> int:
        return await self._process.wait()


async def start_child(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    cwd: str,
    on_line: OnOutputLine,
    log_frames: str | None = None,
) -> Child:
    """Start a program; raises OSError when that cannot be done.

    `log_frames` names the variable in which the process finds a descriptor that takes framed log messages.
    """
    reading, writing = os.pipe()
    outputs = [_Output(reading, LineSplitter(), on_line)]
    to_close = [writing]
    variables = dict(environment)
    passed: list[int] = []
    try:
        if log_frames is not None:
            frames_reading, frames_writing = os.pipe()
            outputs.append(_Output(frames_reading, FrameSplitter(), on_line))
            to_close.append(frames_writing)
            passed.append(frames_writing)
            variables[log_frames] = str(frames_writing)
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            env=variables,
            cwd=cwd,
            start_new_session=True,
            pass_fds=passed,
        )
    except BaseException:
        for output in outputs:
            output.close()
        raise
    finally:
        for descriptor in to_close:
            os.close(descriptor)
    return Child(process, outputs)


def describe_exit(code: int) -> str:
    """How a process ended, in the words Lambda uses: `exit status 1`, `signal: killed`."""
    if code >= 0:
        return f"exit status {code}"
    names = {signal.SIGKILL: "killed", signal.SIGTERM: "terminated", signal.SIGSEGV: "segmentation fault"}
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"signal: {-code}"
    return f"signal: {names.get(number, number.name.removeprefix('SIG').lower())}"
