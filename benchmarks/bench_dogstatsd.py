"""DogStatsD: CPU per message and loss at a fixed rate, parsing and sketching alone, and the flush of many contexts.

    python benchmarks/bench_dogstatsd.py [--rate 100000] [--seconds 10] [--peer]

A load is sent over UDP from this process to a receiver in another; CPU is that of the receiver's process from the first
message to the last one taken in, aggregation and the kernel's side of receiving included. Messages are counts, gauges and
distributions of 450 contexts, each with three tags. Loss is what the receiver did not count, or for the peer, which does
not tell, what the kernel dropped at its socket.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from ddx_core.clock import now_ns
from ddx_core.intake import Compressor, Endpoint, IntakeClient, StaticKey, open_fanout
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_metrics.aggregator import Aggregator
from ddx_metrics.dogstatsd import Ingest, bind_dogstatsd
from ddx_metrics.pipeline import MetricsPipeline, MetricsSettings
from ddx_metrics.sketch import Sketch

at_s: Final = 1_700_000_000
packed: Final = 20
base_tags: Final = TagSet((f"base{number}", f"value-of-base-tag-{number}") for number in range(15))


def make_messages(count: int, seed: int = 1) -> list[bytes]:
    """Lines as clients write them: half of the values are small whole numbers, half have many digits."""
    chance = random.Random(seed)
    messages: list[bytes] = []
    for _ in range(count):
        route = chance.randrange(50)
        name = chance.choice(["requests", "latency", "queue.depth"])
        kind = chance.choice("cgd")
        value = chance.choice(["1", "7", f"{chance.uniform(0.1, 1000):.3f}", f"{chance.uniform(0.1, 1000):.5f}"])
        messages.append(f"shop.{name}:{value}|{kind}|#env:prod,service:orders,route:r{route}".encode())
    return messages


# --- in this process ---------------------------------------------------------------------------------------------------


def best_us(work: Callable[[], object], items: int, times: int = 5) -> float:
    """µs of CPU per item, the best of some runs."""
    spent: list[float] = []
    for _ in range(times):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return min(spent) / items * 1e6


def measure_steps() -> dict[str, float]:
    """Parsing with aggregation, and sketching, without any socket."""
    messages = make_messages(100_000)
    in_twenties = [b"\n".join(messages[first : first + packed]) for first in range(0, len(messages), packed)]

    def take(datagrams: list[bytes], batch: int) -> None:
        account = Account("metrics")
        aggregator = Aggregator(account)
        ingest = Ingest(aggregator, account)
        for first in range(0, len(datagrams), batch):
            ingest.take(datagrams[first : first + batch], at_s)
        aggregator.fold()
        assert account.snapshot().held.items == len(messages)

    chance = random.Random(2)
    values = [chance.uniform(0.1, 1000) for _ in range(100_000)]

    def insert(batch: int) -> None:
        sketch = Sketch()
        for first in range(0, len(values), batch):
            sketch.insert(values[first : first + batch])
        sketch.columns()

    return {
        "parse_and_aggregate_us": best_us(lambda: take(messages, 500), len(messages)),
        "parse_and_aggregate_packed_us": best_us(lambda: take(in_twenties, 50), len(messages)),
        "sketch_insert_1000_us": best_us(lambda: insert(1000), len(values)),
        "sketch_insert_20_us": best_us(lambda: insert(20), len(values)),
    }


def measure_contexts(contexts: int = 100_000) -> dict[str, float]:
    """What many contexts cost to hold and to flush, in a process of its own for the memory's sake."""
    return child_json("--contexts", str(contexts))


async def hold_and_flush(contexts: int) -> dict[str, float]:
    async with IntakeClient() as client:
        account = Account("metrics")
        pipeline = make_pipeline(account, client, MetricsSettings(max_contexts=contexts, max_bytes=1 << 28), [])
        before = rss_mib()
        begin = time.process_time()
        for first in range(0, contexts, 500):
            numbers = range(first, min(first + 500, contexts))
            pipeline.take_datagrams(
                [b"shop.metric.%d:1|c|#env:prod,route:r%d,customer:c%d" % (n % 50, n % 100, n) for n in numbers]
            )
        taken = time.process_time()
        held = rss_mib()
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            last = time.perf_counter()
            while True:
                await trio.lowlevel.checkpoint()
                now = time.perf_counter()
                longest, last = max(longest, now - last), now

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.lowlevel.checkpoint()
            flushing = time.process_time()
            # Nobody answers at that port; what is measured is the encoding.
            with trio.move_on_after(30):
                await pipeline.flush(FlushKind.BLOCKING)
            flushed = time.process_time()
            nursery.cancel_scope.cancel()
        assert account.snapshot().closes
        return {
            "contexts": float(contexts),
            "first_sight_us": (taken - begin) / contexts * 1e6,
            "rss_growth_mib": held - before,
            "flush_cpu_s": flushed - flushing,
            "longest_block_ms": longest * 1e3,
        }


# --- over a socket -----------------------------------------------------------------------------------------------------


def make_pipeline(
    account: Account, client: IntakeClient, settings: MetricsSettings, sockets: list[trio.socket.SocketType]
) -> MetricsPipeline:
    endpoint = Endpoint(name="nobody", base_url="http://127.0.0.1:9", key=StaticKey(None))
    return MetricsPipeline(
        settings,
        account=account,
        fanout=open_fanout(account, [endpoint], client, max_bytes=1 << 26),
        compressor=Compressor(),
        tags=base_tags,
        now_ns=now_ns,
        sockets=sockets,
    )


async def serve() -> None:
    """The receiver's process: says its port, answers each line of input with its numbers."""
    async with IntakeClient() as client:
        account = Account("metrics")
        with bind_dogstatsd("127.0.0.1", 0) as receiving:
            pipeline = make_pipeline(account, client, MetricsSettings(), [receiving])
            async with trio.open_nursery() as nursery:
                await nursery.start(pipeline.serve)
                print(receiving.getsockname()[1], flush=True)
                while await trio.to_thread.run_sync(sys.stdin.readline):
                    snapshot = account.snapshot()
                    used = resource.getrusage(resource.RUSAGE_SELF)
                    numbers = {
                        "accepted": snapshot.accepted.items,
                        "dropped": sum(amount.items for amount in snapshot.dropped.values()),
                        "cpu_s": used.ru_utime + used.ru_stime,
                        "peak_rss_mib": peak_rss_mib(os.getpid()),
                    }
                    print(json.dumps(numbers), flush=True)
                nursery.cancel_scope.cancel()


class Receiver:
    """The process of `serve`."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._read())

    def numbers(self) -> dict[str, float]:
        assert self._child.stdin is not None
        self._child.stdin.write("?\n")
        self._child.stdin.flush()
        return json.loads(self._read())

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()

    def _read(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline()


def send(port: int, datagrams: list[bytes], *, per_second: float, seconds: float) -> tuple[int, float]:
    """Send at an even pace, in bursts of a millisecond; returns how many datagrams went out, and in how many seconds."""
    sent = 0
    begin = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.connect(("127.0.0.1", port))
        while (passed := time.perf_counter() - begin) < seconds:
            due = int(min(passed + 0.001, seconds) * per_second)
            if sent >= due:
                time.sleep(0.0005)
            while sent < due:
                sending.send(datagrams[sent % len(datagrams)])
                sent += 1
    return sent, time.perf_counter() - begin


def measure_ours(datagrams: list[bytes], values: int, *, rate: float, seconds: float) -> dict[str, float]:
    """`values` in each datagram, `rate` values a second."""
    receiver = Receiver()
    try:
        send(receiver.port, datagrams, per_second=1000, seconds=0.5)
        time.sleep(0.3)
        before = receiver.numbers()
        sent, took = send(receiver.port, datagrams, per_second=rate / values, seconds=seconds)
        time.sleep(0.5)
        after = receiver.numbers()
    finally:
        receiver.close()
    taken = after["accepted"] - before["accepted"]
    return {
        "sent_per_s": sent * values / took,
        "lost_percent": 100 * (1 - taken / (sent * values)),
        "cpu_us": (after["cpu_s"] - before["cpu_s"]) / taken * 1e6,
        "peak_rss_mib": after["peak_rss_mib"],
    }


def measure_peer(datagrams: list[bytes], values: int, *, rate: float, seconds: float) -> dict[str, float]:
    """The vendor's agent for serverless, from the wheel of datadog-serverless-compat. It wants a file in /home/site."""
    import importlib.util

    found = importlib.util.find_spec("datadog_serverless_compat")
    if found is None or found.origin is None:
        return {}
    binary = next(Path(found.origin).parent.glob("bin/linux-*/datadog-serverless-compat*"))
    binary.chmod(0o755)
    Path("/home/site/wwwroot").mkdir(parents=True, exist_ok=True)
    Path("/home/site/wwwroot/host.json").touch()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_SITE_NAME": "x",
        "DD_API_KEY": "0" * 32,
        "DD_SITE": "127.0.0.1:9",
        "DD_APM_RECEIVER_PORT": "0",
        "DD_DOGSTATSD_PORT": str(port),
        "DD_LOG_LEVEL": "error",
    }
    child = subprocess.Popen([str(binary)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if kernel_drops(port) is not None:
                break
            time.sleep(0.1)
        send(port, datagrams, per_second=1000, seconds=0.5)
        cpu_before, drops_before = cpu_s(child.pid), kernel_drops(port) or 0
        sent, took = send(port, datagrams, per_second=rate / values, seconds=seconds)
        time.sleep(0.5)
        lost = (kernel_drops(port) or 0) - drops_before
        return {
            "sent_per_s": sent * values / took,
            "lost_percent": 100 * lost / sent,
            "cpu_us": (cpu_s(child.pid) - cpu_before) / ((sent - lost) * values) * 1e6,
            "peak_rss_mib": peak_rss_mib(child.pid),
        }
    finally:
        child.kill()
        child.wait()


def kernel_drops(port: int) -> int | None:
    """What the kernel dropped at the UDP socket bound to that port; None: there is no such socket."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}"):
            return int(words[-1])
    return None


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_mib(pid: int) -> float:
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").open() if line.startswith("VmHWM")) / 1024


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


def child_json(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(*, rate: float = 100_000, seconds: float = 3, peer: bool = False) -> dict[str, dict[str, float]]:
    """Everything measured, by what it is of. µs are CPU per value."""
    messages = make_messages(20_000)
    counts = [b"shop.requests:1|c|#env:prod,service:orders,route:r%d" % (number % 50) for number in range(20_000)]
    loads = {
        "one a datagram": (messages, 1),
        "one a datagram, counts": (counts, 1),
        f"{packed} a datagram": (
            [b"\n".join(messages[n : n + packed]) for n in range(0, len(messages), packed)],
            packed,
        ),
    }
    results = {"steps": measure_steps(), "many contexts": measure_contexts()}
    for name, (datagrams, values) in loads.items():
        results[f"ddx, {name}"] = measure_ours(datagrams, values, rate=rate, seconds=seconds)
        if peer:
            results[f"peer, {name}"] = measure_peer(datagrams, values, rate=rate, seconds=seconds)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100_000, help="values a second")
    parser.add_argument("--seconds", type=float, default=10, help="how long each load lasts")
    parser.add_argument(
        "--peer", action="store_true", help="also measure datadog-serverless-compat, if it is installed"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--contexts", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        trio.run(serve)
    elif arguments.contexts:
        print(json.dumps(trio.run(hold_and_flush, arguments.contexts)))
    else:
        for subject, values in run(rate=arguments.rate, seconds=arguments.seconds, peer=arguments.peer).items():
            print(subject if values else f"{subject}: not installed")
            for name, value in values.items():
                print(f"    {name:<32} {value:>12,.2f}")


if __name__ == "__main__":
    main()
