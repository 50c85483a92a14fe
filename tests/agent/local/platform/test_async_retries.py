"""Asynchronous events that fail are tried again, as Lambda does."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio

from ddx_agent.local.platform.opening import open_platform
from ddx_agent.local.sandbox.plan import Limits
from tests.support.local_platform import make_function

pytestmark = pytest.mark.system


async def run_event(
    folder: Path, event: str, *, delays_s: tuple[float, ...] = (0.0, 0.0), timeout_s: float = 10
) -> list[str]:
    """The `START` lines of what came of one asynchronous event."""
    lines: list[str] = []

    def on_line(source: str, line: str) -> None:
        if line.startswith("START "):
            lines.append(line)

    with trio.fail_after(20):
        async with open_platform(
            make_function(folder, timeout_s=timeout_s),
            extension_command=None,
            cpu_share=False,
            limits=Limits(async_retry_delays_s=delays_s),
            on_line=on_line,
        ) as platform:
            submitted = platform.submit(payload=event.encode())
            await platform.run_event(submitted)
    return lines


@pytest.mark.parametrize("event", ['{"error": "no stock"}', '{"exit": 3}'])
async def test_a_failing_event_is_tried_again_twice_with_its_own_id(tmp_path: Path, event: str) -> None:
    lines = await run_event(tmp_path, event)
    assert len(lines) == 3
    assert len(set(lines)) == 1


async def test_an_event_that_timed_out_is_tried_again(tmp_path: Path) -> None:
    assert len(await run_event(tmp_path, '{"sleep": 30}', delays_s=(0.0,), timeout_s=0.3)) == 2


async def test_an_event_that_succeeded_is_not_tried_again(tmp_path: Path) -> None:
    assert len(await run_event(tmp_path, "{}")) == 1


async def test_the_invoke_endpoint_tries_events_again_and_calls_not(tmp_path: Path) -> None:
    attempts = 0
    all_tried = trio.Event()

    def on_line(source: str, line: str) -> None:
        nonlocal attempts
        if line.startswith("REPORT "):
            attempts += 1
            if attempts == 4:
                all_tried.set()

    with trio.fail_after(20):
        async with (
            open_platform(
                make_function(tmp_path),
                extension_command=None,
                cpu_share=False,
                limits=Limits(async_retry_delays_s=(0.0, 0.0)),
                on_line=on_line,
            ) as platform,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            url = f"{platform.invoke_url}/2015-03-31/functions/tested/invocations"
            event = {"error": "no stock"}
            assert (await client.post(url, json=event)).headers["x-amz-function-error"] == "Unhandled"
            answer = await client.post(url, json=event, headers={"X-Amz-Invocation-Type": "Event"})
            assert answer.status_code == 202
            await all_tried.wait()
            await platform.invoke({})
    assert attempts == 5, "one call, three attempts at the event, and another call"


async def test_a_retry_that_still_waits_does_not_keep_the_platform(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with (
            open_platform(
                make_function(tmp_path),
                extension_command=None,
                cpu_share=False,
                limits=Limits(async_retry_delays_s=(3600.0,)),
            ) as platform,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            url = f"{platform.invoke_url}/2015-03-31/functions/tested/invocations"
            await client.post(url, json={"error": "no stock"}, headers={"X-Amz-Invocation-Type": "Event"})
            assert (await platform.invoke({})).function_error is None
