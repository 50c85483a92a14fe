"""DogStatsD on Unix sockets, for those who name one: a module that nobody else imports. Who binds a socket closes it."""

from __future__ import annotations

import socket

from .dogstatsd.server import DatagramReceiver
from .dogstatsd.stream import StreamReceiver
from .dogstatsd.unix import bind_datagram_socket, bind_stream_socket, close_and_unlink
from .pipeline import MetricsPipeline
from .settings import Reading

__all__ = [
    "bind_datagram_socket",
    "bind_stream_socket",
    "close_and_unlink",
    "receive_datagrams",
    "receive_streams",
]


def receive_datagrams(pipeline: MetricsPipeline, sock: socket.socket, reading: Reading) -> None:
    """Let the pipeline receive on this socket as well; before it serves."""
    pipeline.add_receiver(
        DatagramReceiver(sock, pipeline.take_datagrams, reading=reading, count_cut=pipeline.count_cut)
    )


def receive_streams(pipeline: MetricsPipeline, listener: socket.socket, reading: Reading) -> None:
    """The same for connections to this socket, on which each message follows its length."""
    pipeline.add_receiver(
        StreamReceiver(listener, pipeline.take_datagrams, reading=reading, count_cut=pipeline.count_cut)
    )
