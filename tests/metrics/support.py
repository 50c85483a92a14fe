"""What payloads say, read by decoders that share nothing with our encoders; and a pipeline with an intake in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import trio

from ddx_agent.local.intake import Metric
from ddx_agent.local.intake.decode import decode_body, decode_series_v2, decode_sketches
from ddx_core.errors import Unavailable
from ddx_core.intake import Coding, Compressor, Endpoint, IntakeClient, Outcome, Payload, Sent, StaticKey, open_fanout
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_metrics.dogstatsd.server import HasFileno
from ddx_metrics.pipeline import MetricsPipeline
from ddx_metrics.settings import MetricsSettings
from tests.support.clock import HandClock, noon_ns

noon_s = noon_ns // 1_000_000_000


def metrics_in(payloads: Iterable[Payload]) -> list[Metric]:
    """Every point of every payload, in order."""
    found: list[Metric] = []
    for number, payload in enumerate(payloads):
        if payload.path in ("/intake/", "/api/v1/check_run"):
            continue
        body = decode_body(payload.body, payload.encoding, limit=8 << 20)
        if payload.path == "/api/beta/sketches":
            assert payload.content_type == "application/x-protobuf"
            found += decode_sketches(body, request=number)
        else:
            assert payload.path == "/api/v2/series"
            is_protobuf = payload.content_type == "application/x-protobuf"
            assert is_protobuf or payload.content_type == "application/json"
            found += decode_series_v2(body, protobuf=is_protobuf, request=number)
    return found


class MemoryIntake:
    """Takes payloads, or takes none while it is down; with `down`, those endpoints alone."""

    def __init__(self) -> None:
        self.carrier = None
        self.is_down = False
        self.down: set[str] = set()
        self.payloads: list[Payload] = []

    def wall_clock(self) -> int:
        return noon_ns

    async def send(self, endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
        await trio.lowlevel.checkpoint()
        if self.is_down or endpoint.name in self.down:
            raise Unavailable("down")
        if endpoint.name == "memory":
            self.payloads.append(payload)
        return Sent(outcome=Outcome.DELIVERED, status=202, attempts=1)


class Rig:
    """A pipeline whose payloads end in memory."""

    def __init__(
        self,
        settings: MetricsSettings | None = None,
        *,
        tags: Sequence[tuple[str, str]] = (),
        sockets: Sequence[HasFileno] = (),
        queue_bytes: int = 1 << 24,
        coding: Coding = Coding.ZSTD,
        more_endpoints: Sequence[Endpoint] = (),
        client: IntakeClient | None = None,
        base_url: str = "http://memory",
    ) -> None:
        self.account = Account("metrics")
        self.clock = HandClock()
        self.intake = MemoryIntake()
        endpoint = Endpoint(name="memory", base_url=base_url, key=StaticKey("k"))
        client = client or cast(IntakeClient, self.intake)
        self.fanout = open_fanout(self.account, [endpoint, *more_endpoints], client, max_bytes=queue_bytes)
        self.pipeline = MetricsPipeline(
            settings or MetricsSettings(),
            account=self.account,
            fanout=self.fanout,
            compressor=Compressor(coding),
            tags=TagSet(tags),
            now_ns=self.clock,
            sockets=sockets,
        )

    def take(self, *datagrams: str) -> None:
        self.pipeline.take_datagrams([each.encode() for each in datagrams])
        self.check()

    @property
    def delivered(self) -> list[Metric]:
        return metrics_in(self.intake.payloads)

    @property
    def dropped(self) -> dict[str, int]:
        return {reason: amount.items for reason, amount in self.account.snapshot().dropped.items()}

    @property
    def held(self) -> int:
        return self.account.snapshot().held.items

    def check(self) -> None:
        assert self.account.snapshot().closes, self.account.snapshot()
