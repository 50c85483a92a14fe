"""Calls to the agent's surroundings, which are no part of the user's program."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_traces.process import OwnCalls

from .support import span

own_calls = OwnCalls(
    [
        "http://127.0.0.1:9001",
        "http://127.0.0.1:8124",
        "http://127.0.0.1:8125",
        "http://127.0.0.1:81",
        "http://127.0.0.1:812",
        "http://[::1]:8125",
    ]
)


@pytest.mark.parametrize(
    "fields",
    [
        {"meta": {"http.url": "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next"}},
        {"meta": {"http.url": "http://127.0.0.1:8124/lambda/hello"}},
        {"meta": {"http.url": "http://127.0.0.1:8125"}},
        {"meta": {"http.url": "http://127.0.0.1:8124?a=b"}},
        {"meta": {"http.url": "http://127.0.0.1:8124#a"}},
        {"meta": {"http.url": "http://127.0.0.1:812/"}},
        {"meta": {"tcp.remote.host": "::1", "tcp.remote.port": "8125"}},
        {"meta": {"tcp.remote.host": "127.0.0.1", "tcp.remote.port": "8124"}},
        {"meta": {"dns.address": "0.0.0.0"}},
        {"meta": {"dns.address": "127.0.0.1"}},
        {"meta": {"dns.address": "169.254.79.129:2000"}},
        {"resource": "dd-tracer-serverless-span"},
        {"resource": "127.0.0.1"},
        {"resource": "0.0.0.0"},
        {"name": "dns.lookup"},
    ],
)
def test_own_calls_are_known(fields: dict[str, Any]) -> None:
    assert own_calls.includes(span(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"meta": {"http.url": "http://127.0.0.1:3000/"}},
        {"meta": {"http.url": "https://127.0.0.1:9001/"}},
        {"meta": {"http.url": "http://127.0.0.1:81249/orders"}},
        {"meta": {"http.url": "http://127.0.0.1:8124.example/orders"}},
        {"meta": {"http.url": "http://127.0.0.1:8124@example.com/"}},
        {"meta": {"tcp.remote.host": "127.0.0.1", "tcp.remote.port": "81249"}},
        {"meta": {"http.url": "http://example.com/?next=http://127.0.0.1:9001"}},
        {"meta": {"tcp.remote.host": "127.0.0.1"}},
        {"meta": {"tcp.remote.port": "8124"}},
        {"meta": {"tcp.remote.host": "10.0.0.1", "tcp.remote.port": "8124"}},
        {"meta": {"dns.address": "10.0.0.1"}},
        {"resource": "dd-tracer"},
        {"name": "dns.lookups"},
    ],
)
def test_the_users_calls_are_not(fields: dict[str, Any]) -> None:
    assert not own_calls.includes(span(**fields))


def test_addresses_are_those_it_was_told() -> None:
    elsewhere = OwnCalls(["http://169.254.100.1:9001"])
    assert elsewhere.includes(span(meta={"http.url": "http://169.254.100.1:9001/2018-06-01/runtime"}))
    assert not elsewhere.includes(span(meta={"http.url": "http://127.0.0.1:9001/"}))
    assert not OwnCalls([]).includes(span(meta={"http.url": "http://127.0.0.1:9001/"}))
