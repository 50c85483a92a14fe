"""What stage 0 binds, as the environment says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from benchmarks.processes import free_port, minimal_environment
from ddx_agent.bootstrap import Boot, bind_again, bind_all

script = """
import json, socket, sys
from ddx_agent.bootstrap import Boot, bind_all
boot = Boot()
bind_all(boot)
statsd = boot.sockets.get("dogstatsd")
found = None if statsd is None else [*statsd.getsockname()[:2], statsd.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)]
print(json.dumps([found, boot.troubles]))
"""


def bound(**settings: str) -> tuple[tuple[str, int, int] | None, list[str]]:
    """Address, port and receive buffer of the DogStatsD socket; what was in the way."""
    others = {name: str(free_port()) for name in ("DDX_LIFECYCLE_PORT", "DD_APM_RECEIVER_PORT", "DDX_TELEMETRY_PORT")}
    environment = minimal_environment(**{**others, **settings})
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    found, troubles = json.loads(done.stdout)
    return found, troubles


def test_dogstatsd_is_bound_to_loopback_with_a_large_buffer() -> None:
    port = free_port(socket.SOCK_DGRAM)
    found, troubles = bound(DD_DOGSTATSD_PORT=str(port))
    assert found is not None
    assert found[:2] == ["127.0.0.1", port]
    assert troubles == []
    smaller, _ = bound(DD_DOGSTATSD_PORT=str(port), DD_DOGSTATSD_SO_RCVBUF="70000")
    assert smaller is not None
    assert 70_000 <= smaller[2] <= 140_000
    assert found[2] >= smaller[2]
    for bad in ("0", "many", "-1"):
        assert bound(DD_DOGSTATSD_PORT=str(port), DD_DOGSTATSD_SO_RCVBUF=bad)[0] == found


@pytest.mark.parametrize(
    "off",
    [
        {"DD_DOGSTATSD_PORT": "0"},
        {"dd_dogstatsd_port": '"0"'},
        {"DATADOG_USE_DOGSTATSD": "false"},
        *({"DD_USE_DOGSTATSD": word} for word in ("False", "0.0", ' "off" ')),
    ],
)
def test_it_can_be_switched_off_in_every_way_that_the_configuration_knows(off: dict[str, str]) -> None:
    assert bound(**off) == (None, [])


def test_variables_are_spelled_as_the_configuration_takes_them_and_the_stronger_one_holds() -> None:
    port = free_port(socket.SOCK_DGRAM)
    for settings in (
        {"Dd_Dogstatsd_Port": str(port)},
        {"DATADOG_DOGSTATSD_PORT": f' "{port}" '},
        {
            "DD_DOGSTATSD_PORT": str(port),
            "DATADOG_DOGSTATSD_PORT": "1",
            "DATADOG_USE_DOGSTATSD": "no",
            "dd_use_dogstatsd": "1",
        },
    ):
        found, troubles = bound(**settings)
        assert found is not None
        assert found[1] == port
        assert troubles == []


@pytest.mark.parametrize("text", ["-1", "65536", "8e3", "9" * 5000])
def test_what_is_no_port_number_is_told_and_costs_nothing(text: str) -> None:
    _, troubles = bound(DD_DOGSTATSD_PORT=text)
    assert troubles[0] == "DD_DOGSTATSD_PORT is no port number (0 to 65535): 8125 is used"


@pytest.mark.parametrize("word", ['"off', 'off"', '""off""'])
def test_what_the_configuration_refuses_switches_nothing_off(word: str) -> None:
    port = free_port(socket.SOCK_DGRAM)
    found, _ = bound(DD_DOGSTATSD_PORT=str(port), DD_USE_DOGSTATSD=word)
    assert found is not None


def test_it_can_be_bound_to_other_addresses() -> None:
    port = free_port(socket.SOCK_DGRAM)
    everywhere, _ = bound(DD_DOGSTATSD_PORT=str(port), DD_DOGSTATSD_NON_LOCAL_TRAFFIC="true")
    assert everywhere is not None
    assert everywhere[0] == "0.0.0.0"
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    v6, troubles = bound(DD_DOGSTATSD_PORT=str(port), DDX_DOGSTATSD_HOST="::1")
    if troubles:
        pytest.skip("no IPv6 here")
    assert v6 is not None
    assert v6[0] == "::1"


def test_a_port_that_is_taken_is_told_and_costs_that_port_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        found, (trouble,) = bound(DD_DOGSTATSD_PORT=str(holder.getsockname()[1]))
    assert found is None
    assert "(dogstatsd) cannot be bound" in trouble


def test_what_was_taken_is_bound_once_it_is_free_and_nothing_is_wrong_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DDX_LIFECYCLE_PORT", "DDX_TELEMETRY_PORT", "DD_APM_RECEIVER_PORT"):
        monkeypatch.setenv(variable, "0")
    boot = Boot()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind(("127.0.0.1", 0))
            monkeypatch.setenv("DD_DOGSTATSD_PORT", str(holder.getsockname()[1]))
            bind_all(boot)
            bind_again(boot)
            assert list(boot.unbound) == ["dogstatsd"]
        bind_again(boot)
        assert "dogstatsd" in boot.sockets
        assert boot.troubles == []
    finally:
        for sock in boot.sockets.values():
            sock.close()
