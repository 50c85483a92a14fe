"""The package's README tells the truth."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datadog.dogstatsd.base import DogStatsd

readme = Path(__file__).parents[2] / "packages" / "ddx-metrics" / "README.md"


def example(number: int) -> dict[str, Any]:
    """What the example defines, once it has run."""
    examples: list[str] = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    # Its modules stay importable by name for whoever inspects what is defined there.
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(examples[number], str(readme), "exec"), names)
    return names


def client_of(port: int) -> DogStatsd:
    return DogStatsd(host="127.0.0.1", port=port, disable_telemetry=True, constant_tags=["shop:a"])


def test_the_first_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example(0)
    assert set(capsys.readouterr().out.splitlines()) == {
        "orders ('shop:a',) 5.0", "latency p50 9.0", "7 samples",
    }  # fmt: skip


def test_the_collector_prints_what_a_real_client_sent(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving:
        receiving.bind(("127.0.0.1", 0))
        client = client_of(receiving.getsockname()[1])
        client.increment("orders.paid", 2)
        client.increment("orders.paid")
        client.gauge("queue", 7, tags=["name:q"])
        client.flush()
        client.stop()
        client.close_socket()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"stop", receiving.getsockname())
        example(1)["collect"](receiving)
    assert set(capsys.readouterr().out.splitlines()) == {
        'orders_paid{shop="a"} 3.0', 'queue{name="q",shop="a"} 7.0',
    }  # fmt: skip


def test_the_heart_beats_in_asyncio_too() -> None:
    """Each bucket comes once, with all that was sent in it, however often there is a flush."""
    names = example(2)
    now = [1_700_000_000.0]
    names["time"] = SimpleNamespace(time=lambda: now[0])

    arrived, over = asyncio.Event(), asyncio.Event()
    flushed: list[Any] = []

    def flush(gathered: Any) -> None:
        flushed.append(gathered)
        over.set()

    async def run() -> list[list[Any]]:
        loop = asyncio.get_running_loop()
        transport, statsd = await loop.create_datagram_endpoint(names["Statsd"], local_addr=("127.0.0.1", 0))
        take = statsd.datagram_received

        def hear(data: bytes, addr: object) -> None:
            take(data, addr)
            arrived.set()

        statsd.datagram_received = hear
        flushing = asyncio.create_task(names["flush_each"](statsd, 0, flush))
        client = client_of(transport.get_extra_info("sockname")[1])

        async def send() -> None:
            for _ in range(3):
                arrived.clear()
                client.timing("took", 5)
                client.flush()
                await arrived.wait()

        await send()
        now[0] += 10
        await over.wait()
        parts = [flushed[:]]
        flushed.clear()
        await send()
        flushing.cancel()
        await asyncio.wait([flushing])
        client.stop()
        client.close_socket()
        transport.close()
        return [*parts, flushed]

    for part in asyncio.run(asyncio.wait_for(run(), 30)):
        (gathered,) = part
        assert (gathered.context.name, gathered.values.samples) == ("took", 3)


def test_the_heart_loads_no_event_loop() -> None:
    code = (
        "import sys; import ddx_metrics.dogstatsd, ddx_metrics.aggregator, ddx_metrics.accumulate;"
        "assert not {'trio', 'anyio', 'asyncio', 'socket'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
