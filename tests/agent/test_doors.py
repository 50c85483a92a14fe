"""Where the function's libraries reach the agent."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from ddx_agent.bootstrap import Boot
from ddx_agent.doors import own_addresses
from ddx_traces.process import OwnCalls
from ddx_traces.span import Span


@contextmanager
def bound(host: str) -> Generator[tuple[Boot, int]]:
    """A boot whose DogStatsD socket is bound to `host`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        boot = Boot()
        boot.sockets["dogstatsd"] = sock  # pyright: ignore[reportArgumentType]
        yield boot, sock.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "reached_as"),
    [
        ("127.0.0.1", ("127.0.0.1", "localhost")),
        ("0.0.0.0", ("0.0.0.0", "127.0.0.1", "localhost")),
        ("127.0.0.2", ("127.0.0.2",)),
    ],
)
def test_agent_is_recognised_under_every_name_it_answers_to(host: str, reached_as: tuple[str, ...]) -> None:
    with bound(host) as (boot, port):
        addresses = own_addresses(boot)
    assert addresses == tuple(f"{name}:{port}" for name in reached_as)
    own_calls = OwnCalls([f"http://{address}" for address in addresses])
    for name in reached_as:
        called = Span(trace_id=1, span_id=1, meta={"http.url": f"http://{name}:{port}/path"})
        connected = Span(trace_id=1, span_id=1, meta={"tcp.remote.host": name, "tcp.remote.port": str(port)})
        assert own_calls.includes(called)
        assert own_calls.includes(connected)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize(
    ("host", "reached_as"),
    [("::1", ("[::1]", "localhost")), ("::", ("[::]", "0.0.0.0", "[::1]", "127.0.0.1", "localhost"))],
)
def test_hosts_of_ipv6_are_in_brackets(host: str, reached_as: tuple[str, ...]) -> None:
    try:
        with bound(host) as (boot, port):
            assert own_addresses(boot) == tuple(f"{name}:{port}" for name in reached_as)
    except OSError:
        pytest.skip("no IPv6 here")


def test_what_is_not_bound_has_no_address() -> None:
    assert own_addresses(Boot()) == ()
