"""Free ports, ports of a running ddx, and ports of others."""

from __future__ import annotations

import os
import socket

import pytest
import trio

from ddx_agent.doctor.findings import Level
from ddx_agent.doctor.ports import PortsSeen, PortState, judge_ports, look_at_ports
from ddx_agent.testing import Ports
from ddx_core.http import Response
from tests.support.intake import ScriptedIntake

agent, other = "pid 12 (ddx extension)", "pid 7 (datadog-agent run)"


def state(purpose: str, holder: str = "", number: int = 8124) -> PortState:
    return PortState(number, purpose, "tcp", f"DD_{purpose.upper()}_PORT", holder)


@pytest.mark.parametrize(
    ("seen", "levels"),
    [
        (PortsSeen((state("lifecycle"),)), [Level.OK]),
        (PortsSeen((state("traces", number=0),)), [Level.NOTE]),
        (PortsSeen((state("lifecycle", other),)), [Level.WARNING]),
        (PortsSeen((state("lifecycle", agent), state("traces", "pid 14 (ddx extension)")), "1.0"), [Level.OK, Level.OK]),
        (PortsSeen((state("lifecycle", agent), state("traces", other)), "1.0"), [Level.OK, Level.WARNING]),
        (PortsSeen((state("lifecycle", "a process"), state("traces", "a process")), "1.0"), [Level.OK, Level.OK]),
    ],
)  # fmt: skip
def test_a_taken_port_is_fine_only_when_it_is_ours(seen: PortsSeen, levels: list[Level]) -> None:
    assert [finding.level for finding in judge_ports(seen)] == levels


def test_a_port_that_cannot_be_bound_names_its_variable() -> None:
    (only,) = judge_ports(PortsSeen((PortState(80, "traces", "tcp", "DD_X", trouble="permission denied"),)))
    assert (only.level, only.help) == (Level.WARNING, "set DD_X to another port")


async def test_a_port_that_somebody_holds_is_told_with_the_holder() -> None:
    environ = Ports.free().environment()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", int(environ["DD_DOGSTATSD_PORT"])))
        seen = await look_at_ports(environ)
    by_purpose = {each.purpose: each.holder for each in seen.states}
    assert f"pid {os.getpid()} " in by_purpose.pop("dogstatsd")
    assert by_purpose == {"lifecycle": "", "traces": "", "telemetry": ""}


async def test_a_port_that_is_done_without_is_not_tried() -> None:
    environ = {**Ports.free().environment(), "DD_APM_RECEIVER_PORT": "0", "DATADOG_USE_DOGSTATSD": "false"}
    seen = await look_at_ports(environ)
    assert {each.purpose for each in seen.states if each.is_off} == {"traces", "dogstatsd"}
    told = [finding.text for finding in judge_ports(seen) if "switched off" in finding.text]
    assert len(told) == 2


@pytest.mark.parametrize("host", ["not..a..host", "192.0.2.1"])
@pytest.mark.parametrize(
    ("variable", "purpose"), [("DDX_TELEMETRY_HOST", "telemetry"), ("DDX_DOGSTATSD_HOST", "dogstatsd")]
)
async def test_ports_are_tried_at_the_addresses_that_the_environment_names(
    host: str, variable: str, purpose: str
) -> None:
    environ = {**Ports.free().environment(), variable: host}
    seen = await look_at_ports(environ)
    assert {each.purpose for each in seen.states if each.trouble} == {purpose}
    (advice,) = [finding.help for finding in judge_ports(seen) if finding.level is Level.WARNING]
    assert advice == f"set {variable} to an address of this machine, or take it out"


@pytest.mark.parametrize(
    ("answer", "version"), [(b'{"version":"9.8","mode":"on-demand"}', "9.8"), (b"{}", None), (b"\xff", None)]
)
async def test_a_running_extension_is_recognised_by_its_status(
    nursery: trio.Nursery, answer: bytes, version: str | None
) -> None:
    status = await ScriptedIntake([Response(status=200, body=answer)]).start(nursery)
    environ = {**Ports.free().environment(), "DDX_LIFECYCLE_PORT": status.url.rpartition(":")[2]}
    seen = await look_at_ports(environ)
    assert seen.own_version == version
    assert [request.path for request in status.requests] == ["/ddx/status"]
