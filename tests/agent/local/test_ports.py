"""Ports that somebody else holds are named before anything is started."""

from __future__ import annotations

import socket

from ddx_agent.local.ports import taken_ports

variables: tuple[str, ...] = ("DDX_LIFECYCLE_PORT", "DD_DOGSTATSD_PORT", "DD_APM_RECEIVER_PORT", "DDX_TELEMETRY_PORT")


def test_a_taken_port_is_named_with_its_purpose() -> None:
    free: dict[str, str] = dict.fromkeys(variables, "0")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        number = holder.getsockname()[1]
        assert taken_ports({**free, "DD_APM_RECEIVER_PORT": str(number)}) == [f"port {number} (traces) is taken"]
    assert taken_ports(free) == []


def test_a_taken_datagram_port_is_named() -> None:
    free: dict[str, str] = dict.fromkeys(variables, "0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        number = holder.getsockname()[1]
        assert taken_ports({**free, "DD_DOGSTATSD_PORT": str(number)}) == [f"port {number} (dogstatsd) is taken"]
