"""DogStatsD: CPU per value and loss at fixed rates over UDP; parsing and sketching alone; the flush of many contexts.

Values are counts, gauges and distributions of 450 contexts, each with three tags. CPU is that of the receiving process from
the first value to the last, aggregation and the kernel's side of receiving included; the flush of it all comes after and is
a row of its own, for ddx alone (the peer's intake for metrics cannot be reached here). Loss is what the kernel dropped at
the receiver's socket; that ddx loses none behind it, its accounts prove.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

import trio

from benchmarks.loads import Subject, open_ddx, open_peer
from benchmarks.processes import cpu_s, kernel_drops, memory, wait_until_idle
from benchmarks.table import Options, Row, Table, percentile
from ddx_agent import garbage
from ddx_core.clock import now_ns
from ddx_core.intake import Compressor, Endpoint, IntakeClient, StaticKey, open_fanout
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_metrics.aggregator import Aggregator
from ddx_metrics.dogstatsd import Ingest
from ddx_metrics.pipeline import MetricsPipeline
from ddx_metrics.settings import MetricsSettings
from ddx_metrics.sketch import Sketch

at_s: Final = 1_700_000_000
packed: Final = 20
rates: Final = (20_000, 50_000, 100_000)
# Most a process may ask for where nobody changed net.core.rmem_max, on Lambda for one; the peer asks for nothing and has half.
default_buffer: Final = "212992"
base_tags: Final = TagSet((f"base{number}", f"value-of-base-tag-{number}") for number in range(15))


class Taken(NamedTuple):
    sent_per_s: float
    lost_percent: float
    cpu_us: float
    peak_rss: float
    flush_ms: float


def tables(options: Options) -> list[Table]:
    seconds, times = (0.2, 1) if options.quick else (2.0, 3)
    messages = make_messages(20_000)
    in_twenties = [b"\n".join(messages[first : first + packed]) for first in range(0, len(messages), packed)]
    found: list[Table] = []
    for title, datagrams, values, cpu_target, settings in (
        ("one a datagram", messages, 1, 1.5, {}),
        (f"{packed} a datagram", in_twenties, packed, 0.5, {}),
        ("one a datagram, a socket buffer of 208 KiB", messages, 1, None, {"DD_DOGSTATSD_SO_RCVBUF": default_buffer}),
    ):
        rows: list[Row] = []
        for rate in rates[:1] if options.quick else rates:
            ours: list[Taken] = []
            theirs: list[Taken] = []
            # By turns: what the machine is like changes within seconds.
            for _ in range(times):
                ours.append(measure(open_ddx("end", **settings), datagrams, values, rate=rate, seconds=seconds))
                if options.peer is not None:
                    theirs.append(measure(open_peer(options.peer), datagrams, values, rate=rate, seconds=seconds))
            rows += _rows(rate, median(ours), median(theirs) if theirs else None, cpu_target=cpu_target)
        found.append(Table(f"DogStatsD, {title}, {seconds:g} s at each rate (medians of {times} by turns)", rows))
    return [*found, Table("DogStatsD, the steps by themselves (best of some runs)", _step_rows(options))]


def _rows(rate: int, ours: Taken, theirs: Taken | None, *, cpu_target: float | None) -> list[Row]:
    cpu, lost, peak = (theirs.cpu_us, theirs.lost_percent, theirs.peak_rss) if theirs else (None, None, None)
    return [
        Row(f"CPU at {rate:,}/s", "µs a value", ours.cpu_us, cpu, target=cpu_target),
        Row(
            f"lost at {rate:,}/s (sent {ours.sent_per_s:,.0f}/s)",
            "%",
            ours.lost_percent,
            lost,
            target=None if cpu_target is None else 0,
        ),
        Row(f"peak RSS at {rate:,}/s", "MiB", ours.peak_rss, peak),
        Row(f"the flush at the end, after {rate:,}/s", "ms CPU", ours.flush_ms),
    ]


def _step_rows(options: Options) -> list[Row]:
    steps = measure_steps(times=options.pick(5, 1))
    times = options.pick(3, 1)
    contexts = measure_contexts(options.pick(100_000, 2000), "c", times=times)
    distributions = measure_contexts(options.pick(100_000, 2000), "d", times=times)
    count = f"{contexts['contexts']:,.0f}"
    return [
        Row("parse and aggregate, one a datagram", "µs CPU a value", steps["parse_and_aggregate_us"]),
        Row(f"parse and aggregate, {packed} a datagram", "µs CPU a value", steps["parse_and_aggregate_packed_us"]),
        Row("insert into a sketch, 1,000 at once", "µs CPU a value", steps["sketch_insert_1000_us"]),
        Row("insert into a sketch, 20 at once", "µs CPU a value", steps["sketch_insert_20_us"]),
        Row(f"{count} contexts: first sight of each", "µs CPU", contexts["first_sight_us"]),
        Row(f"{count} contexts: memory", "MiB", contexts["rss_growth_mib"], target=60),
        Row(f"{count} contexts: flush", "s CPU", contexts["flush_cpu_s"], target=1.5),
        Row(f"{count} contexts: longest time without a checkpoint", "ms CPU", contexts["longest_block_ms"], target=5),
        Row(f"{count} distributions: memory", "MiB", distributions["rss_growth_mib"], target=60),
        Row(f"{count} distributions: flush", "s CPU", distributions["flush_cpu_s"]),
        Row(f"{count} distributions: longest time without a checkpoint", "ms CPU", distributions["longest_block_ms"]),
    ]


def measure(
    opening: AbstractContextManager[Subject], datagrams: list[bytes], values: int, *, rate: float, seconds: float
) -> Taken:
    """`values` in each datagram, `rate` values a second."""
    with opening as subject:
        warming, _ = send(subject.statsd_port, datagrams, per_second=1000, seconds=0.2)
        wait_until_idle([subject.pid])
        before_s, dropped = cpu_s(subject.pid), _drops(subject)
        sent, took = send(subject.statsd_port, datagrams, per_second=rate / values, seconds=seconds)
        wait_until_idle([subject.pid])
        used_s, lost, peak = cpu_s(subject.pid) - before_s, _drops(subject) - dropped, memory(subject.pid).peak
        flush_s = subject.end_invocation() if subject.has_accounts else 0.0
        accounts = subject.end()
        if subject.has_accounts:
            # The enhanced metrics of the invocation come on top.
            accepted, expected = accounts["metrics"]["accepted"]["items"], (warming + sent - lost) * values
            assert expected <= accepted <= expected + 50, (expected, accounts["metrics"])
    return Taken(
        sent_per_s=sent * values / took,
        lost_percent=100 * lost / sent,
        cpu_us=used_s / ((sent - lost) * values) * 1e6,
        peak_rss=peak,
        flush_ms=flush_s * 1e3,
    )


def median(found: list[Taken]) -> Taken:
    """Of each number by itself."""
    return Taken(*(percentile(column, 0.5) for column in zip(*found, strict=True)))


def _drops(subject: Subject) -> int:
    drops = kernel_drops(subject.statsd_port)
    assert drops is not None, "nobody has bound the DogStatsD port"
    return drops


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


def best_us(work: Callable[[], object], items: int, times: int) -> float:
    """µs of CPU per item, the best of some runs."""
    spent: list[float] = []
    for _ in range(times):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return min(spent) / items * 1e6


def measure_steps(*, times: int) -> dict[str, float]:
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
        "parse_and_aggregate_us": best_us(lambda: take(messages, 500), len(messages), times),
        "parse_and_aggregate_packed_us": best_us(lambda: take(in_twenties, 50), len(messages), times),
        "sketch_insert_1000_us": best_us(lambda: insert(1000), len(values), times),
        "sketch_insert_20_us": best_us(lambda: insert(20), len(values), times),
    }


def measure_contexts(contexts: int, kind: str, *, times: int) -> dict[str, float]:
    """What many contexts cost to hold and to flush: of each number the best of some runs."""
    runs = [_hold_contexts(contexts, kind) for _ in range(times)]
    return {name: min(run[name] for run in runs) for name in runs[0]}


def _hold_contexts(contexts: int, kind: str) -> dict[str, float]:
    """One run, in a process of its own for the memory's sake."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_dogstatsd", str(contexts), kind],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


async def hold_and_flush(contexts: int, kind: str) -> dict[str, float]:
    async with IntakeClient() as client:
        account = Account("metrics")
        # Nobody answers at that port; what is measured is the encoding.
        endpoint = Endpoint(name="nobody", base_url="http://127.0.0.1:9", key=StaticKey(None))
        pipeline = MetricsPipeline(
            MetricsSettings(max_contexts=contexts, max_bytes=1 << 28),
            account=account,
            fanout=open_fanout(account, [endpoint], client, max_bytes=1 << 26),
            compressor=Compressor(),
            tags=base_tags,
            now_ns=now_ns,
            sockets=[],
        )
        garbage.settle()
        before = memory(os.getpid()).rss
        begin = time.process_time()
        for first in range(0, contexts, 500):
            numbers = range(first, min(first + 500, contexts))
            pipeline.take_datagrams(
                [
                    b"shop.metric.%d:1|%s|#env:prod,route:r%d,customer:c%d" % (n % 50, kind.encode(), n % 100, n)
                    for n in numbers
                ]
            )
        taken = time.process_time()
        held = memory(os.getpid()).rss
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            last = time.process_time()
            while True:
                await trio.lowlevel.checkpoint()
                now = time.process_time()
                longest, last = max(longest, now - last), now

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.lowlevel.checkpoint()
            flushing = time.process_time()
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


if __name__ == "__main__":
    print(json.dumps(trio.run(hold_and_flush, int(sys.argv[1]), sys.argv[2])))
