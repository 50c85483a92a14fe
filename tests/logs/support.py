"""A logs pipeline before a scripted intake in memory, and telemetry events made short."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import msgspec
import trio
import zstandard

from ddx_core.errors import Unavailable
from ddx_core.events import TelemetryEvent, parse_telemetry
from ddx_core.intake import Coding, Compressor, Endpoint, Fanout, IntakeClient, Outcome, Payload, Sent, StaticKey
from ddx_core.intake import open_fanout as core_open_fanout
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_logs.ingest import OnOutOfMemory
from ddx_logs.pipeline import LogsPipeline
from ddx_logs.settings import LogsSettings

arn = "test-arn"
tags = TagSet([("test", "tags")])
time = "2023-01-07T03:23:47Z"
time_ms = 1673061827000


def events(*pairs: tuple[str, Any], at: str = time) -> list[TelemetryEvent]:
    """Events of one time as the Telemetry API delivers them: (type, record) each."""
    body = msgspec.json.encode([{"time": at, "type": kind, "record": record} for kind, record in pairs])
    batch = parse_telemetry(body)
    assert not batch.skipped
    return batch.events


def event(kind: str, record: Any, at: str = time) -> TelemetryEvent:
    (only,) = events((kind, record), at=at)
    return only


def start(request_id: str = "test-request-id", at: str = time) -> TelemetryEvent:
    return event("platform.start", {"requestId": request_id, "version": "test-version"}, at)


def end(request_id: str = "test-request-id", at: str = time, **fields: Any) -> TelemetryEvent:
    record = {"requestId": request_id, "status": "success", "metrics": {"durationMs": 100.0}, **fields}
    return event("platform.runtimeDone", record, at)


on_demand_metrics = {
    "durationMs": 100.0,
    "billedDurationMs": 128,
    "memorySizeMB": 256,
    "maxMemoryUsedMB": 64,
    "initDurationMs": 50.0,
}


def report(request_id: str = "test-request-id", at: str = time, **fields: Any) -> TelemetryEvent:
    record = {"requestId": request_id, "status": "success", "metrics": on_demand_metrics, **fields}
    return event("platform.report", record, at)


def decode(payload: Payload) -> list[dict[str, Any]]:
    return msgspec.json.decode(body_of(payload), type=list[dict[str, Any]])


def body_of(payload: Payload) -> bytes:
    match payload.encoding:
        case None:
            return payload.body
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(payload.body)
        case "gzip":
            return gzip.decompress(payload.body)
        case _:
            raise AssertionError(payload.encoding)


class ScriptedIntake:
    """Stands in for IntakeClient: answers as scripted (then 202), and keeps what it accepted."""

    def __init__(self, answers: Iterable[int] = ()) -> None:
        self.wall_clock = lambda: 0
        self.carrier = None
        self.answers = list(answers)
        self.payloads: list[Payload] = []
        self.is_down = False

    async def send(self, endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
        await trio.lowlevel.checkpoint()
        status = self.answers.pop(0) if self.answers else 503 if self.is_down else 202
        if status >= 500:
            raise Unavailable(f"{endpoint.name}: status {status}")
        if status >= 400:
            return Sent(outcome=Outcome.REFUSED, status=status, attempts=1)
        # No checkpoint from here on: what was accepted is told, so a repeat would be the sender's fault.
        self.payloads.append(payload)
        return Sent(outcome=Outcome.DELIVERED, status=status, attempts=1)

    @property
    def items(self) -> list[dict[str, Any]]:
        return [item for payload in self.payloads for item in decode(payload)]

    @property
    def lines(self) -> list[tuple[str, str | None]]:
        """(text, request id) of all items, in order of arrival."""
        return [(item["message"]["message"], item["message"]["lambda"]["request_id"]) for item in self.items]


class Rig:
    """A pipeline, its account and its intake."""

    def __init__(
        self,
        settings: LogsSettings | None = None,
        *,
        client: object | None = None,
        endpoints: Sequence[Endpoint] | None = None,
        function_arn: str = arn,
        service: str = "test-service",
        compressor: Compressor | None = None,
        outbox_bytes: int = 16 << 20,
        on_out_of_memory: OnOutOfMemory | None = None,
        now_ns: Callable[[], int] = lambda: 5_000_000,
    ) -> None:
        self.account = Account("logs")
        self.intake = ScriptedIntake()
        self.fanout: Fanout = core_open_fanout(
            self.account,
            endpoints or [Endpoint(name="primary", base_url="http://intake", key=StaticKey("k"))],
            cast(IntakeClient, client or self.intake),
            max_bytes=outbox_bytes,
        )
        self.pipeline = LogsPipeline(
            settings or LogsSettings(),
            account=self.account,
            fanout=self.fanout,
            compressor=compressor or Compressor(Coding.IDENTITY),
            tags=tags,
            function_arn=function_arn,
            service=service,
            now_ns=now_ns,
            on_out_of_memory=on_out_of_memory,
        )

    def observe(self, *observed: TelemetryEvent) -> None:
        for each in observed:
            self.pipeline.observe(each)
            self.check()

    def check(self) -> None:
        for account in self.pipeline.accounts:
            assert account.snapshot().closes, account.snapshot()

    @property
    def held(self) -> int:
        return self.account.snapshot().held.items

    @property
    def delivered(self) -> int:
        return self.account.snapshot().delivered.items
