"""The extension's fixed ports: libraries in functions have them built in, so on a laptop they must be free."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from ddx_agent.bootstrap import Port, ports


def taken_ports(environment: Mapping[str, str]) -> list[str]:
    """A line for each port of the extension that somebody else holds; `environment` may move ports, as it does for the agent."""
    return [
        f"port {number} ({port.purpose}) is taken"
        for port in ports
        if (number := _number(port, environment)) and not _is_free(number, is_datagram=port.is_datagram)
    ]


def _number(port: Port, environment: Mapping[str, str]) -> int:
    for variable in port.variables:
        text = environment.get(variable, "").strip()
        if text.isascii() and text.isdigit():
            return int(text)
    return port.default


def _is_free(number: int, *, is_datagram: bool) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM) as sock:
        if not is_datagram:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", number))
            if not is_datagram:
                sock.listen(1)
        except OSError:
            return False
    return True
