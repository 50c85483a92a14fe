"""CPU per log line, from a delivery of the Telemetry API to compressed batches; and what an outage holds in memory.

The lines are half text, half JSON (as text and as object records), about 200 bytes each, in deliveries of at most 1,000
lines and 256 KiB, as the platform makes them. First the steps in one process, with the intake in memory: process CPU time,
best of three. Then the same lines through the real extension, over its telemetry port.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec
import trio
import zstandard

from benchmarks.extension import Extension
from benchmarks.intake import Intake
from benchmarks.lambda_stand_in import LambdaStandIn
from benchmarks.table import Options, Row, Table, percentile
from ddx_core.clock import now_ns
from ddx_core.errors import Unavailable
from ddx_core.events import parse_telemetry
from ddx_core.intake import Coding, Compressor, Endpoint, IntakeClient, Outcome, Payload, Sent, StaticKey, open_fanout
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_logs.pipeline import LogsPipeline
from ddx_logs.settings import LogsSettings

lines_per_delivery = 1000
arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders-checkout"
tags = TagSet(
    [
        ("region", "eu-west-1"),
        ("account_id", "123456789012"),
        ("aws_account", "123456789012"),
        ("functionname", "orders-checkout"),
        ("resource", "orders-checkout"),
        ("executedversion", "$LATEST"),
        ("function_arn", arn),
        ("version", "2025-06-01"),
        ("env", "production"),
        ("service", "orders"),
        ("memorysize", "512"),
        ("runtime", "python3.12"),
        ("architecture", "arm64"),
        ("dd_extension_version", "88"),
        ("team", "checkout"),
    ]
)


class _Intake:
    """Takes payloads, or takes none while it is down."""

    def __init__(self) -> None:
        self.wall_clock = now_ns
        self.carrier = None
        self.is_down = False
        self.payloads: list[Payload] = []

    async def send(self, endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise Unavailable("down")
        self.payloads.append(payload)
        return Sent(outcome=Outcome.DELIVERED, status=202, attempts=1)


def deliveries(count: int) -> list[bytes]:
    """What the platform would post for one invocation that writes `count` lines."""
    request_id = "459921b5-681c-4a96-beb0-81e0aa586026"
    begin = {
        "time": "2025-06-01T12:00:00.000Z",
        "type": "platform.start",
        "record": {"requestId": request_id, "version": "$LATEST"},
    }
    bodies = [msgspec.json.encode([begin])]
    for first in range(0, count, lines_per_delivery):
        numbers = range(first, min(first + lines_per_delivery, count))
        bodies.append(msgspec.json.encode([_line(number, request_id) for number in numbers]))
    return bodies


def _line(number: int, request_id: str) -> dict[str, Any]:
    at = f"2025-06-01T12:00:{number // 1000 % 60:02}.{number % 1000:03}Z"
    padding = "the quick brown fox jumps over the lazy dog; " * 2
    if number % 2 == 0:
        text = f"{at} INFO checkout.cart item {number} reserved for customer {number * 7919 % 99991}: {padding}\n"
        return {"time": at, "type": "function", "record": text}
    fields = {
        "timestamp": at,
        "level": "WARN" if number % 10 == 1 else "INFO",
        "message": f"item {number} reserved; {padding}",
        "logger": "checkout.cart",
        "customer": number * 7919 % 99991,
    }
    if number % 4 == 1:
        return {"time": at, "type": "function", "record": {**fields, "requestId": request_id}}
    return {"time": at, "type": "function", "record": msgspec.json.encode(fields).decode() + "\n"}


class _Rig:
    def __init__(self, coding: Coding = Coding.ZSTD, settings: LogsSettings | None = None) -> None:
        self.intake = _Intake()
        self.account = Account("logs")
        endpoint = Endpoint(name="memory", base_url="http://memory", key=StaticKey("k"))
        client = cast(IntakeClient, self.intake)
        self.pipeline = LogsPipeline(
            # Large enough for the whole run: this measures work, not drops.
            settings or LogsSettings(max_bytes=256 << 20),
            account=self.account,
            fanout=open_fanout(self.account, [endpoint], client, max_bytes=64 << 20),
            compressor=Compressor(coding),
            tags=tags,
            function_arn=arn,
            service="orders",
            now_ns=now_ns,
            on_out_of_memory=lambda request_id, time_ns: None,
        )

    def take_in(self, bodies: list[bytes]) -> None:
        for body in bodies:
            for event in parse_telemetry(body).events:
                self.pipeline.observe(event)

    async def flush_each(self, bodies: list[bytes], every: int) -> None:
        """Take in, flushing after every so many deliveries."""
        for first in range(0, len(bodies), every):
            self.take_in(bodies[first : first + every])
            await self.pipeline.flush(FlushKind.BLOCKING)


def _cpu_s(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _best(work: Callable[[], float]) -> float:
    return min(work() for _ in range(3))


def tables(options: Options) -> list[Table]:
    # Failures of the outage below are the agent's news, not the benchmark's.
    logging.getLogger("ddx").addHandler(logging.NullHandler())
    found = measure(options.pick(100_000, 2000))
    names = {
        "parse_us": ("parse a delivery", "µs CPU a line"),
        "observe_us": ("make the record", "µs CPU a line"),
        "batch_and_zstd_us": ("batch and compress", "µs CPU a line"),
        "whole_zstd_us": ("the whole way, zstd", "µs CPU a line"),
        "whole_identity_us": ("the whole way, uncompressed", "µs CPU a line"),
        "flush_5000_lines_ms": ("the flush of 5,000 lines", "ms CPU"),
        "outage_held_lines": ("held while the intake is down", "lines"),
        "outage_held_mib": ("held while the intake is down", "MiB"),
        "outage_dropped_lines": ("dropped while the intake is down", "lines"),
    }
    rows = [Row(what, unit, found[key]) for key, (what, unit) in names.items()]
    count = options.pick(100_000, 2000)
    extension = [
        Row(
            "telemetry listener to delivered batches", "µs CPU a line", through_the_extension(count),
            found["intake_decode_us"], "the intake's decoding", target=10,
        ),
        Row("end of 5,000 lines at once → `next`", "ms", end_of_many_lines_ms(options.pick(9, 1)), target=150),
    ]  # fmt: skip
    return [
        Table(f"Logs, {found['lines']:,.0f} lines through the pipeline (best of 3)", rows),
        Table(f"Logs, {count:,} lines through the extension's process", extension),
    ]


def through_the_extension(count: int) -> float:
    """µs of CPU of the agent a line: HTTP, parsing, batches, compression and delivery, one invocation per 5,000 lines."""
    with (
        Intake() as intake,
        LambdaStandIn() as lambda_,
        Extension(lambda_, intake_url=intake.url, DD_SERVERLESS_FLUSH_STRATEGY="end") as extension,
    ):
        lambda_.asked_next()
        time.sleep(0.3)
        before_s = extension.cpu_s()
        for first in range(0, count, 5000):
            request_id = f"00000000-0000-4000-8000-{first:012}"
            lambda_.invoke(request_id)
            for start in range(first, min(first + 5000, count), lines_per_delivery):
                numbers = range(start, min(start + lines_per_delivery, count))
                lambda_.tell(*(_line(number, request_id) for number in numbers))
            lambda_.end(request_id)
            lambda_.asked_next()
        spent_s = extension.cpu_s() - before_s
        delivered = extension.end()["logs"]["delivered"]["items"]
        assert delivered >= count, (delivered, count)
    return spent_s * 1e6 / count


def end_of_many_lines_ms(runs: int) -> float:
    """From the first delivery of 5,000 lines of 200 bytes, the runtime's end in the last, to the next event being asked for."""
    added_ms: list[float] = []
    text = "x" * 199 + "\n"
    line = {"time": "2025-06-01T12:00:00.000Z", "type": "function", "record": text}
    with (
        Intake() as intake,
        LambdaStandIn() as lambda_,
        Extension(lambda_, intake_url=intake.url, DD_SERVERLESS_FLUSH_STRATEGY="end") as extension,
    ):
        lambda_.asked_next()
        time.sleep(0.3)
        for number in range(runs):
            request_id = f"00000000-0000-4000-8000-{number:012}"
            lambda_.invoke(request_id)
            # Equal deliveries would be taken for repeats of one.
            began = lambda_.tell(*({**line, "record": f"{number} 0 {text}"} for _ in range(1000)))
            for part in range(1, 4):
                lambda_.tell(*({**line, "record": f"{number} {part} {text}"} for _ in range(1000)))
            lambda_.end(request_id, *({**line, "record": f"{number} 4 {text}"} for _ in range(1000)))
            added_ms.append((lambda_.asked_next() - began) * 1e3)
        assert extension.end()["logs"]["delivered"]["items"] >= runs * 5000
    return percentile(added_ms, 0.5)


def measure(lines: int) -> dict[str, float]:
    """By the steps' names, each of which ends in its unit; µs are of CPU a line."""
    bodies = deliveries(lines)

    def parse() -> float:
        return _cpu_s(lambda: [parse_telemetry(body) for body in bodies])

    def whole(coding: Coding) -> float:
        rig = _Rig(coding)
        spent = _cpu_s(lambda: trio.run(rig.flush_each, bodies, 5))
        assert rig.account.snapshot().delivered.items == lines + 1
        return spent

    events = [event for body in bodies for event in parse_telemetry(body).events]

    def observe() -> float:
        rig = _Rig()
        return _cpu_s(lambda: [rig.pipeline.observe(event) for event in events])

    def flush() -> float:
        rig = _Rig()
        for event in events:
            rig.pipeline.observe(event)
        return _cpu_s(lambda: trio.run(rig.pipeline.flush, FlushKind.BLOCKING))

    per_line = 1e6 / lines
    result = {
        "lines": float(lines),
        "parse_us": _best(parse) * per_line,
        "observe_us": _best(observe) * per_line,
        "batch_and_zstd_us": _best(flush) * per_line,
        "whole_zstd_us": _best(lambda: whole(Coding.ZSTD)) * per_line,
        "whole_identity_us": _best(lambda: whole(Coding.IDENTITY)) * per_line,
        "flush_5000_lines_ms": _flush_of_one_invocation_ms(),
    }
    return result | _outage(bodies)


def _flush_of_one_invocation_ms() -> float:
    """5,000 lines of one invocation, taken in already; what the flush after the response then costs, without the network."""

    def once() -> float:
        rig = _Rig()
        rig.take_in(deliveries(5000))
        return _cpu_s(lambda: trio.run(rig.pipeline.flush, FlushKind.BLOCKING))

    return _best(once) * 1000


def _outage(bodies: list[bytes]) -> dict[str, float]:
    """The whole run while the intake is down, with the default bounds; then it is back and everything held goes out."""
    rig = _Rig(settings=LogsSettings())
    rig.intake.is_down = True
    trio.run(rig.flush_each, bodies, 5)
    held = rig.account.snapshot().held
    rig.intake.is_down = False
    trio.run(rig.pipeline.flush, FlushKind.FINAL)
    end = rig.account.snapshot()
    assert end.closes
    assert end.held.items == 0
    begin = time.process_time()
    decoded = sum(_decode(payload) for payload in rig.intake.payloads)
    decode_us = (time.process_time() - begin) * 1e6 / decoded
    assert decoded == end.delivered.items
    return {
        "outage_held_lines": float(held.items),
        "outage_held_mib": held.bytes / (1 << 20),
        "outage_dropped_lines": float(sum(amount.items for amount in end.dropped.values())),
        "intake_decode_us": decode_us,
    }


def _decode(payload: Payload) -> int:
    body = zstandard.ZstdDecompressor().decompressobj().decompress(payload.body)
    return len(msgspec.json.decode(body, type=list[Any]))
