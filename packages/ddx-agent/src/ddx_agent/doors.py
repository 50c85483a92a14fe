"""Where the function's libraries reach the agent: the sockets that stage 0 has bound, and Unix sockets where they are asked for.

What cannot be had costs itself alone: it is told as a trouble of the start, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from socket import SHUT_RDWR, SO_RCVBUF, SOL_SOCKET
from typing import Any

import trio

from ddx_agent.bootstrap import Boot
from ddx_agent.config import Config
from ddx_agent.signal_settings import receiver_settings
from ddx_core import log
from ddx_core.http import open_unix_listener
from ddx_metrics.pipeline import MetricsPipeline

Close = Callable[[], None]


def listeners(boot: Boot, purpose: str) -> list[trio.SocketListener]:
    sock = boot.sockets.get(purpose)
    return [trio.SocketListener(_trio_socket(sock))] if sock is not None else []


def trace_listeners(boot: Boot, config: Config) -> list[trio.SocketListener]:
    sock = boot.sockets.get("traces")
    if not config.traces.enabled:
        if sock is not None:
            # It was bound before the file was read. Whoever else holds it, nobody is left waiting in its backlog.
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)
        return []
    found = listeners(boot, "traces")
    path = config.traces.receiver_socket
    if path:
        try:
            found.append(open_unix_listener(path))
        except (OSError, ValueError) as error:
            _tell(boot, "DD_APM_RECEIVER_SOCKET", path, error)
    return found


def datagram_sockets(boot: Boot, config: Config) -> list[Any]:
    """The pipeline reads them as they are and leaves them open, for the next agent should this one die."""
    sock = boot.sockets.get("dogstatsd")
    if sock is None or not config.metrics.use_dogstatsd:
        return []
    if config.metrics.receive_buffer is not None:
        # datadog.yaml was not read yet when it was bound.
        with suppress(OSError):
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, config.metrics.receive_buffer)
    sock.setblocking(False)
    return [sock]


def receive_on_unix_sockets(boot: Boot, config: Config, pipeline: MetricsPipeline) -> Iterator[Close]:
    """DogStatsD's Unix sockets, as far as any are asked for. Gives what closes each."""
    metrics = config.metrics
    if not metrics.use_dogstatsd or not (metrics.socket or metrics.stream_socket):
        return
    from ddx_metrics import unix_sockets

    for variable, path, bind, receive in (
        ("DD_DOGSTATSD_SOCKET", metrics.socket, unix_sockets.bind_datagram_socket, unix_sockets.receive_datagrams),
        (
            "DD_DOGSTATSD_STREAM_SOCKET",
            metrics.stream_socket,
            unix_sockets.bind_stream_socket,
            unix_sockets.receive_streams,
        ),
    ):
        if path is None:
            continue
        try:
            sock = bind(path, metrics.receive_buffer)
        except (OSError, ValueError) as error:
            _tell(boot, variable, path, error)
        else:
            # Its name stays when this process ends: the next one takes over what nobody answers at.
            receive(pipeline, sock, receiver_settings(metrics, "uds"))
            yield sock.close


def port_of(boot: Boot, purpose: str) -> int:
    """0: it is not bound."""
    sock = boot.sockets.get(purpose)
    return 0 if sock is None else sock.getsockname()[1]


def own_addresses(boot: Boot) -> tuple[str, ...]:
    """Where the function's libraries reach the agent: spans that tell of such calls are no news to anyone."""
    found: list[str] = []
    for purpose in ("lifecycle", "dogstatsd"):
        sock = boot.sockets.get(purpose)
        if sock is not None:
            host, port = sock.getsockname()[:2]
            found += (f"{name}:{port}" for name in _names_of(host))
    return tuple(found)


def _names_of(host: str) -> tuple[str, ...]:
    """The hosts in URLs under which libraries reach a socket bound to `host`."""
    match host:
        case "127.0.0.1":
            return (host, "localhost")
        case "0.0.0.0":  # noqa: S104 (compared, not bound)
            return (host, "127.0.0.1", "localhost")
        case "::1":
            return ("[::1]", "localhost")
        case "::":
            return ("[::]", "0.0.0.0", "[::1]", "127.0.0.1", "localhost")  # noqa: S104
        case _:
            return (f"[{host}]" if ":" in host else host,)


def _tell(boot: Boot, variable: str, path: str, error: Exception) -> None:
    boot.complaints.append(f"{variable}={path!r} cannot be bound: {error}; going on without it")
    log.warning("start_trouble", about=boot.complaints[-1])


def _trio_socket(sock: Any) -> trio.socket.SocketType:
    """A second handle on a socket bound in stage 0; the first stays open, for the next agent should this one die."""
    with suppress(OSError):
        sock.setblocking(False)
    return trio.socket.fromfd(sock.fileno(), sock.family, sock.type)
