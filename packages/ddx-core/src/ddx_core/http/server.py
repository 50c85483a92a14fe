"""The server round connections: listeners in, one task for each connection, nothing shared but their bounds.

Rules of this file:
- Nothing a client does ends another's connection or the server.
- Past the greatest number of connections, new ones wait in the backlog, and those that have been idle for long give way.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Final

import trio

from .. import log
from ..unix_socket import bind_unix
from .bounds import Activity, Bounds, Limits
from .connection import serve_stream
from .routes import Routes

# accept(2) reports these for trouble of one connection or of the moment; the listener itself is sound.
_passing_accept_errors = {
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
    errno.ETIMEDOUT,
}
_overload_accept_errors = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}

_backlog: Final = 512


async def open_tcp_listener(host: str, port: int) -> trio.SocketListener:
    """Bind one address. `SO_REUSEADDR` is set, so that a port in TIME_WAIT after a restart is no obstacle."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await sock.bind((host, port))
        sock.listen(_backlog)
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(sock)


def open_unix_listener(path: str) -> trio.SocketListener:
    """Bind a stream socket at `path`, to which anyone may connect, in place of one that nobody listens on any more.

    Raises OSError or ValueError.
    """
    sock = bind_unix(path, socket.SOCK_STREAM)
    try:
        sock.listen(_backlog)
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    except BaseException:
        sock.close()
        raise


async def serve_http(
    listeners: Sequence[trio.SocketListener],
    routes: Routes,
    *,
    limits: Limits | None = None,
    activity: Activity | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; the listeners are closed then, and requests that were read get a moment to be answered."""
    bounds = Bounds(limits, activity)
    server = _Server(routes, bounds)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(bounds.grace.give, bounds.limits.grace_s)
            for listener in listeners:
                nursery.start_soon(server.accept, listener, nursery)
            task_status.started()
    finally:
        for listener in listeners:
            with trio.CancelScope(shield=True):
                await listener.aclose()


class _Server:
    def __init__(self, routes: Routes, bounds: Bounds) -> None:
        self._routes = routes
        self._bounds = bounds
        self._places = bounds.places

    async def accept(self, listener: trio.SocketListener, connections: trio.Nursery) -> None:
        while True:
            place = object()
            await self._places.take(place)
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                self._places.release(place)
                return
            except OSError as error:
                self._places.release(place)
                if error.errno in _overload_accept_errors:
                    log.warning("http_accept_overloaded", error=error.strerror)
                    await trio.sleep(0.1)
                elif error.errno not in _passing_accept_errors:
                    raise
                continue
            except BaseException:
                self._places.release(place)
                # Whoever comes while the last requests are answered finds nobody.
                listener.socket.close()
                raise
            connections.start_soon(self._connection, stream, place)

    async def _connection(self, stream: trio.SocketStream, place: object) -> None:
        try:
            await serve_stream(stream, self._routes, self._bounds)
        except* Exception as failures:
            # The last handler of a connection: a defect of ours costs this client its connection and nobody else anything.
            log.error("http_connection_failed", exc_info=failures)
        finally:
            self._places.release(place)
            stream.socket.close()
