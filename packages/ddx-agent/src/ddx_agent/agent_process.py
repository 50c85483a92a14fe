"""The agent as its keeper sees it: a forked process, and the keeper's end of the link to it (`link` has the other).

Rules: standard library only, synchronous; this is a part of stage 0.
"""

from __future__ import annotations

import _socket
import os

sigkill = 9  # `import signal` would cost more than all of this module


class Frame:
    """Kinds of frames on the link: one message each, of which the first byte is the kind and the rest what is said of it."""

    # From the keeper.
    registration = b"R"
    """Extension identifier, NUL, the answer's body (JSON)."""
    event = b"E"
    """The event (JSON)."""
    next_failed = b"F"
    """Lambda gives no more events, and why."""

    # From the agent.
    ready = b"N"
    """It wants the next event."""
    heartbeat = b"H"
    subscribed = b"T"
    """Telemetry comes to the sockets from here on."""
    cannot_run = b"I"
    """No other agent could run either: the extension is to be idle."""


class AgentProcess:
    """One agent at a time. `link` is None while there is none."""

    def __init__(self) -> None:
        self.link: _socket.socket | None = None
        self._pid = 0

    def fork(self) -> _socket.socket | None:
        """In the new process: its end of the link. In the keeper: None. Raises OSError."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if not pid:
            ours.close()
            return theirs
        theirs.close()
        self.link, self._pid = ours, pid
        return None

    def send(self, frame: bytes) -> None:
        """An agent that has ended is noticed when the link is read, behind what it said last: that it cannot run, perhaps."""
        if self.link is None:
            return
        try:
            self.link.sendall(frame)
        except OSError:
            return

    def receive(self) -> bytes:
        """One frame; empty when the agent has ended."""
        assert self.link is not None
        # The kernel tells that the agent has left something unread before the frames that it sent.
        for _ in range(2):
            try:
                return self.link.recv(65536)
            except OSError:
                continue
        return b""

    def kill(self) -> int | None:
        """End it whatever it does: what `reap` says of it, or None when there was none to end."""
        if not self._pid:
            return None
        try:
            os.kill(self._pid, sigkill)
        except OSError:
            return None
        return self.reap()

    def reap(self) -> int:
        """Its end of the link is closed: wait until it has ended. Its wait status, 0 when that is not known."""
        if self.link is not None:
            self.link.close()
            self.link = None
        pid, self._pid = self._pid, 0
        if not pid:
            return 0
        try:
            return os.waitpid(pid, 0)[1]
        except OSError:
            return 0
