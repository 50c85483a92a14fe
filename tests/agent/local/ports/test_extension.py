"""Ports that somebody else holds are named before anything is started."""

from __future__ import annotations

import os
import socket

import pytest

from ddx_agent.local.ports.extension import Ports, PortsTaken, check_ports, effective_ports

any_free = {"lifecycle": 0, "dogstatsd": 0, "traces": 0, "telemetry": 0}


@pytest.mark.parametrize(
    ("kind", "purpose", "protocol"),
    [
        (socket.SOCK_STREAM, "traces", "tcp"),
        (socket.SOCK_STREAM, "lifecycle", "tcp"),
        (socket.SOCK_DGRAM, "dogstatsd", "udp"),
    ],
)
def test_a_taken_port_is_named_with_its_purpose_and_its_holder(
    kind: socket.SocketKind, purpose: str, protocol: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        number = holder.getsockname()[1]
        wanted = Ports(**{**any_free, purpose: number})
        with pytest.raises(PortsTaken) as caught:
            check_ports(wanted)
    assert caught.value.numbers == (number,)
    assert f"port {number}/{protocol} ({purpose}) is held by pid {os.getpid()} (" in str(caught.value)
    check_ports(wanted)


def test_a_holder_on_the_wildcard_address_of_ipv6_is_found() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as holder:
        number = holder.getsockname()[1]
        with pytest.raises(PortsTaken, match=f"port {number}/tcp .telemetry. is held by pid {os.getpid()}"):
            check_ports(Ports(**{**any_free, "telemetry": number}))


def test_free_ports_are_four_and_told_to_extension_and_libraries() -> None:
    ports = Ports.free()
    assert len({ports.lifecycle, ports.dogstatsd, ports.traces, ports.telemetry}) == 4
    environment = ports.environment()
    assert effective_ports(environment) == ports
    assert environment["DD_TRACE_AGENT_PORT"] == environment["DD_APM_RECEIVER_PORT"]
    check_ports(ports)


def test_values_that_are_no_port_are_passed_over_as_the_extension_does() -> None:
    assert effective_ports({"DD_DOGSTATSD_PORT": "many", "DD_APM_RECEIVER_PORT": "70000"}) == Ports()
    assert effective_ports({"DDX_TELEMETRY_PORT": " 9001 ", "DDX_LIFECYCLE_PORT": ""}) == Ports(telemetry=9001)
