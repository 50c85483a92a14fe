"""The assertions that users import: they pass on what arrived, and tell what did when they fail."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

from ddx_agent.testing import (
    Intake,
    assert_accounts_close,
    assert_delivered_once,
    expect_log,
    expect_metric,
    expect_request,
    expect_span,
    expect_stats,
    open_intake,
)
from tests.support.plain_http import no_authorities


async def post(intake: Intake, path: str, body: Any) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=no_authorities()) as client:
        await client.post(intake.url + path, json=body, headers={"DD-API-KEY": "k"})


async def test_expectations_give_the_item_or_say_what_arrived() -> None:
    async with open_intake() as intake:
        await post(
            intake, "/api/v2/logs", [{"message": "order 1 taken", "service": "orders"}, {"message": "order 2 taken"}]
        )
        await post(
            intake, "/api/v2/series", {"series": [{"metric": "m", "points": [{"value": 2}], "tags": ["env:dev"]}]}
        )
        store = intake.store
        with trio.fail_after(5):
            assert await intake.wait_for(lambda store: store.metrics(name="m"))
        assert expect_log(store, contains="taken", service="orders").message == "order 1 taken"
        assert expect_metric(store, "m", tag="env:").value == 2
        assert expect_request(store, kind="logs").items == 2
        with pytest.raises(AssertionError, match=r"no log with contains='order 3'; .*\n.*order 1.*\n.*order 2"):
            expect_log(store, contains="order 3")
        with pytest.raises(
            AssertionError, match=r"no metric with name='m', tag='env:prod'; .*\n.*m unspecified env:dev"
        ):
            expect_metric(store, "m", tag="env:prod")
        with pytest.raises(AssertionError, match="no span with any criteria; nothing of that kind arrived"):
            expect_span(store)
        with pytest.raises(AssertionError, match="no stats group with name='x'"):
            expect_stats(store, name="x")


async def test_delivered_once_names_what_came_twice() -> None:
    async with open_intake() as intake:
        await post(intake, "/api/v2/logs", [{"message": "a"}])
        assert_delivered_once(intake.store)
        await post(intake, "/api/v2/logs", [{"message": "b"}, {"message": "a"}])
        with pytest.raises(AssertionError, match=r"log 'a': 2 times, in requests \(1, 2\)"):
            assert_delivered_once(intake.store)


def account(
    accepted: int, delivered: int, held: int = 0, dropped: int = 0, maybe_twice: int = 0, **more: Any
) -> dict[str, Any]:
    def both(items: int) -> dict[str, int]:
        return {"items": items, "bytes": items * 10}

    return {
        # Bytes are of different things at different places, as in a real document, and cannot be held against each other.
        "accepted": {"items": accepted, "bytes": accepted * 7},
        "delivered": both(delivered),
        "held": both(held),
        "dropped": {"queue_full": both(dropped)} if dropped else {},
        "maybe_twice": both(maybe_twice),
        **more,
    }


@pytest.mark.parametrize(
    ("logs", "reason"),
    [
        (account(2, 2), None),
        (account(3, 2, held=1), None),
        (account(1, 1, maybe_twice=1), None),
        (account(2, 1, held=1), None),
        (account(3, 2), "3 items accepted, but 2 delivered"),
        (account(3, 3), "3 items delivered by the accounts, 2 arrived"),
        (account(1, 1), "1 items delivered by the accounts, 2 arrived"),
        (account(2, 2, closes=False), "the agent itself"),
    ],
)
async def test_accounts_are_held_against_what_arrived(logs: dict[str, Any], reason: str | None) -> None:
    async with open_intake() as intake:
        await post(intake, "/api/v2/logs", [{"message": "a"}, {"message": "b"}])
        accounts = {"signals": {"logs": logs, "metrics": account(5, 5)}}
        if reason is None:
            assert_accounts_close(accounts, intake.store)
        else:
            with pytest.raises(AssertionError, match=reason):
                assert_accounts_close(accounts, intake.store)
