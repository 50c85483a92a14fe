"""Unix sockets for DogStatsD: a path is taken over from whoever died there, never from one who listens."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import Final

from .server import ask_for_buffer

# Clients may run as any user: all of them may send.
_mode: Final = 0o722
_backlog: Final = 64


def bind_datagram_socket(path: str, rcvbuf: int | None = None) -> socket.socket:
    """A Unix datagram socket at that path, not blocking. Raises OSError."""
    return _bind(path, socket.SOCK_DGRAM, rcvbuf)


def bind_stream_socket(path: str, rcvbuf: int | None = None) -> socket.socket:
    """A listening Unix stream socket at that path, not blocking. Raises OSError."""
    sock = _bind(path, socket.SOCK_STREAM, rcvbuf)
    sock.listen(_backlog)
    return sock


def close_and_unlink(sock: socket.socket) -> None:
    """Close, and leave no name behind that leads nowhere."""
    path: str = sock.getsockname()
    sock.close()
    with suppress(OSError):
        os.unlink(path)


def _bind(path: str, kind: socket.SocketKind, rcvbuf: int | None) -> socket.socket:
    for scheme in ("unix://", "unixgram://", "unixstream://"):
        path = path.removeprefix(scheme)
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    try:
        if rcvbuf is not None or kind is socket.SOCK_DGRAM:
            ask_for_buffer(sock, rcvbuf)
        _remove_dead(path, kind)
        sock.bind(path)
        os.chmod(path, _mode)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_dead(path: str, kind: socket.SocketKind) -> None:
    """The name outlives the process that bound it; one at which nobody answers is in the way."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as trial:
        try:
            trial.connect(path)
        except ConnectionRefusedError:
            with suppress(OSError):
                os.unlink(path)
        except OSError:
            return
