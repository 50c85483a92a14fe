"""Unix sockets: a path is taken over from whoever died there, never from one who listens."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Final

# Clients may run as any user: all may connect and send, which takes the right to write (as with the vendor's agents).
_mode: Final = 0o722


def bind_unix(path: str, kind: socket.SocketKind) -> socket.socket:
    """A socket at that path, not blocking; one of streams does not listen yet. Raises OSError or ValueError."""
    _remove_dead(path, kind)
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    try:
        sock.bind(path)
        os.chmod(path, _mode)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_dead(path: str, kind: socket.SocketKind) -> None:
    """The name outlives the process that bound it. Raises OSError when something else than a socket is there, or one in use."""
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "something else than a socket is there", path)
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as caller:
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError as error:
            # Its backlog is full, or it is of another kind: somebody has it all the same.
            if error.errno not in (errno.EAGAIN, errno.EPROTOTYPE):
                raise
    raise OSError(errno.EADDRINUSE, "somebody else listens there", path)
