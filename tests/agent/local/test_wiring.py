"""A function, the extension and the intake as one: what is told to whom, and whose accounts come back."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

from ddx_agent.testing import Limits, Ports, PortsTaken, assert_accounts_close, expect_log, expect_stats, open_local
from tests.support.local_platform import answer, extension_command, make_function

pytestmark = pytest.mark.system


async def test_every_attempt_at_a_failing_event_is_accounted_for(tmp_path: Path) -> None:
    function = make_function(tmp_path)
    with trio.fail_after(40):
        async with (
            open_local(function, limits=Limits(async_retry_delays_s=(0.0, 0.0)), cpu_share=False) as local,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            url = f"{local.platform.invoke_url}/2015-03-31/functions/tested/invocations"
            event = {"print": "an attempt", "error": "no stock"}
            response = await client.post(url, json=event, headers={"X-Amz-Invocation-Type": "Event"})
            await local.intake.wait_for(lambda store: len(store.logs(contains="an attempt")) == 3)
            accounts = await local.finish()
            assert_accounts_close(accounts)
            for document in local.statuses():
                assert_accounts_close(document)
            expect_log(local.intake.store, contains="an attempt", request_id=response.headers["x-amzn-requestid"])


async def test_statistics_that_were_merged_on_their_way_are_accounted_for(tmp_path: Path) -> None:
    group = {"Service": "orders", "Name": "order.take", "Hits": 2}
    bucket = {"Start": time.time_ns() // 10**10 * 10**10, "Duration": 10**10, "Stats": [group]}
    body = msgspec.msgpack.encode({"RuntimeID": "r", "Stats": [bucket]}).hex()
    with trio.fail_after(40):
        async with open_local(make_function(tmp_path), cpu_share=False) as local:
            await local.invoke({"to_trace_agent": [["/v0.6/stats", body]] * 3})
            accounts = await local.finish()
            assert expect_stats(local.intake.store, name="order.take").hits == 6
    assert_accounts_close(accounts)
    assert accounts is not None
    (stats,) = (account for account in accounts.signals if account.signal == "stats")
    assert (stats.accepted, stats.delivered, stats.dropped) == (3, 1, {"merged": 2})


async def test_the_function_is_told_the_free_ports_and_may_be_given_more(tmp_path: Path) -> None:
    function = make_function(tmp_path, environment={"DD_TRACE_AGENT_PORT": "8126", "A": "1"})
    async with open_local(
        function, environment={"B": "2"}, extension_command=None, extension_environment={"C": "3"}, cpu_share=False
    ) as local:
        environment = answer(await local.invoke({"environment": True}))["environment"]
        assert environment["DD_TRACE_AGENT_PORT"] == str(local.ports.traces) != "8126"
        assert environment["DD_DOGSTATSD_PORT"] == str(local.ports.dogstatsd)
        assert (environment["A"], environment["B"], environment.get("C")) == ("1", "2", None)


async def test_ports_that_the_function_names_itself_add_nothing_to_its_environment(tmp_path: Path) -> None:
    function = make_function(tmp_path, environment={"DD_APM_RECEIVER_PORT": "9126"})
    async with open_local(function, ports=Ports(traces=9126), extension_command=None, cpu_share=False) as local:
        environment = answer(await local.invoke({"environment": True}))["environment"]
    assert "DD_TRACE_AGENT_PORT" not in environment
    assert "DDX_LIFECYCLE_PORT" not in environment


async def test_another_extension_need_not_write_accounts(tmp_path: Path) -> None:
    async with open_local(
        make_function(tmp_path), extension_command=extension_command, extension_name="tester", cpu_share=False
    ) as local:
        await local.invoke({})
        accounts = await local.finish()
    assert accounts is None
    with pytest.raises(AssertionError, match="wrote no accounts"):
        assert_accounts_close(accounts)


async def test_a_taken_port_is_found_out_before_anything_starts(tmp_path: Path) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    number = listener.socket.getsockname()[1]
    async with listener:
        with pytest.raises(PortsTaken, match=f"port {number}/tcp .lifecycle. is held by pid "):
            async with open_local(make_function(tmp_path), ports=Ports(lifecycle=number)):
                raise AssertionError("must not be reached")
