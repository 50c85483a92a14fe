"""DogStatsD on Unix sockets, for those who name one: a module that nobody else imports. Who binds a socket closes it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Final

from ddx_core.unix_socket import bind_unix

from .dogstatsd.server import DatagramReceiver, ask_for_buffer
from .dogstatsd.stream import StreamReceiver
from .pipeline import MetricsPipeline
from .settings import ReceiverSettings

_backlog: Final = 64


def bind_datagram_socket(path: str, rcvbuf: int | None = None) -> socket.socket:
    """A Unix datagram socket at that path, not blocking. Raises OSError or ValueError.

    `path` may begin as clients write it, with `unix://` and the like. `rcvbuf` as for `bind_dogstatsd`.
    """
    sock = bind_unix(_plain(path), socket.SOCK_DGRAM)
    ask_for_buffer(sock, rcvbuf)
    return sock


def bind_stream_socket(path: str, rcvbuf: int | None = None) -> socket.socket:
    """The same for a listening stream socket; without `rcvbuf` its connections have the system's buffers."""
    sock = bind_unix(_plain(path), socket.SOCK_STREAM)
    if rcvbuf is not None:
        ask_for_buffer(sock, rcvbuf)
    sock.listen(_backlog)
    return sock


def close_and_unlink(sock: socket.socket) -> None:
    """Close, and leave no name behind that leads nowhere."""
    path: str = sock.getsockname()
    sock.close()
    with suppress(OSError):
        os.unlink(path)


def receive_datagrams(pipeline: MetricsPipeline, sock: socket.socket, settings: ReceiverSettings) -> None:
    """Let the pipeline receive on this socket as well; before it serves."""
    pipeline.add_receiver(
        DatagramReceiver(sock, pipeline.take_datagrams, settings=settings, count_cut=pipeline.count_cut)
    )


def receive_streams(pipeline: MetricsPipeline, listener: socket.socket, settings: ReceiverSettings) -> None:
    """The same for connections to this socket, on which each message follows its length."""
    pipeline.add_receiver(
        StreamReceiver(listener, pipeline.take_datagrams, settings=settings, count_cut=pipeline.count_cut)
    )


def _plain(path: str) -> str:
    for scheme in ("unix://", "unixgram://", "unixstream://"):
        path = path.removeprefix(scheme)
    return path
