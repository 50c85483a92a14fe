"""Telemetry API subscriptions: the documented fields and bounds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.local.refusal import Refusal
from ddx_agent.local.telemetry.subscription import Buffering, Destination, Subscription, parse_subscription


def body(**changes: Any) -> bytes:
    """A body that the reference extension might send, changed."""
    whole: dict[str, Any] = {
        "schemaVersion": "2022-12-13",
        "destination": {"protocol": "HTTP", "URI": "http://sandbox:8999/"},
        "types": ["platform", "extension", "function"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
    } | changes
    return msgspec.json.encode({name: value for name, value in whole.items() if value is not None})


def parsed(raw: bytes) -> Subscription:
    subscription = parse_subscription(raw)
    assert isinstance(subscription, Subscription), subscription
    return subscription


def test_common_subscription_is_understood() -> None:
    assert parsed(body()) == Subscription(
        schema="2022-12-13",
        types=("platform", "extension", "function"),
        destination=Destination(8999, "/"),
        buffering=Buffering(1000, 262144, 25),
    )


def test_buffering_has_the_documented_defaults() -> None:
    assert parsed(body(buffering=None)).buffering == Buffering(10_000, 262_144, 1_000)
    assert parsed(body(buffering={"timeoutMs": 100})).buffering == Buffering(10_000, 262_144, 100)


def test_destination_keeps_path_and_query() -> None:
    destination = {
        "protocol": "HTTP",
        "method": "POST",
        "encoding": "JSON",
        "URI": "http://sandbox.localdomain:81/a?b=c",
    }
    assert parsed(body(destination=destination)).destination == Destination(81, "/a?b=c")


def test_tcp_destination_has_no_path() -> None:
    assert parsed(body(destination={"protocol": "TCP", "port": 4000})).destination == Destination(4000, None)


def test_only_the_first_schema_takes_no_objects() -> None:
    schemas = ("2022-07-01", "2022-12-13", "2025-01-29")
    assert [parsed(body(schemaVersion=schema)).takes_objects for schema in schemas] == [False, True, True]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        body(schemaVersion="2021-01-01"),
        body(schemaVersion=None),
        body(types=[]),
        body(types=["platform", "other"]),
        body(destination=None),
        body(destination={"protocol": "UDP", "port": 4000}),
        body(destination={"protocol": "HTTP", "URI": "http://127.0.0.1:8999/"}),
        body(destination={"protocol": "HTTP", "URI": "https://sandbox:8999/"}),
        body(destination={"protocol": "HTTP", "URI": "http://sandbox:9001/"}),
        body(destination={"protocol": "HTTP", "URI": "http://sandbox:99999/"}),
        body(destination={"protocol": "HTTP", "URI": "http://sandbox:8999/", "encoding": "XML"}),
        body(destination={"protocol": "TCP", "port": 0}),
        body(buffering={"maxItems": 999}),
        body(buffering={"maxItems": 10_001}),
        body(buffering={"maxBytes": 262_143}),
        body(buffering={"maxBytes": 1_048_577}),
        body(buffering={"timeoutMs": 24}),
        body(buffering={"timeoutMs": 30_001}),
    ],
)
def test_anything_else_is_a_validation_error(raw: bytes) -> None:
    refusal = parse_subscription(raw)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.error_type) == (400, "ValidationError")


def test_schema_that_the_platform_does_not_offer_is_refused() -> None:
    assert isinstance(parse_subscription(body(), schemas=("2022-07-01",)), Refusal)


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_never_raises(raw: bytes) -> None:
    assert isinstance(parse_subscription(raw), Refusal)
