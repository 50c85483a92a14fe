"""A sandbox's life, told to enhanced metrics the way the extension does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from ddx_core.events import Invoke, Shutdown, parse_telemetry
from ddx_core.invocation import InvocationTracker
from ddx_metrics.enhanced import EnhancedMetrics, EnhancedSettings
from ddx_metrics.sample import Sample
from ddx_metrics.usage import Usage
from tests.support.clock import HandClock, noon_ns

at = "2023-11-14T22:13:25.250Z"
at_s = noon_ns // 1_000_000_000 + 5
spans = [{"name": "responseLatency", "start": at, "durationMs": 23.0}]
done_metrics = {"durationMs": 100.0, "producedBytes": 8}
report_metrics = {"durationMs": 120.5, "billedDurationMs": 121, "memorySizeMB": 128, "maxMemoryUsedMB": 94}


class Story:
    """A sandbox's life as the tracker hears of it, and the samples that come of it."""

    def __init__(
        self,
        *,
        sandbox_age_s: float = 1,
        enabled: bool = True,
        holds_first: bool = True,
        managed: bool = False,
        is_new_sandbox: bool = True,
        usage: Usage | None = None,
    ) -> None:
        self.clock = HandClock()
        self.samples: list[Sample] = []
        self.drained = 0
        self.errors_in_socket = 0
        self.enhanced = EnhancedMetrics(
            self._add,
            settings=EnhancedSettings(
                enabled=enabled,
                holds_first=holds_first and not managed,
                one_at_a_time=not managed,
                is_new_sandbox=is_new_sandbox,
            ),
            now_ns=self.clock,
            architecture="x86_64",
            drain=self._drain,
            usage=usage,
        )
        self.tracker = InvocationTracker(
            now_ns=self.clock,
            sandbox_started_ns=noon_ns - int(sandbox_age_s * 1e9),
            observers=[self.enhanced],
            has_invoke_events=not managed,
            is_new_sandbox=is_new_sandbox,
        )

    def _add(self, samples: Iterable[Sample]) -> None:
        self.samples.extend(samples)

    def _drain(self) -> None:
        self.drained += 1
        while self.errors_in_socket:
            self.errors_in_socket -= 1
            self.read_library_error()

    def read_library_error(self) -> None:
        """A line in which the function's library reports an error is read from the socket."""
        if self.enhanced.admit_error():
            self.samples.append(Sample(name="aws.lambda.enhanced.errors", value=1.0))

    def invoke(self, request_id: str = "a") -> None:
        self.tracker.invoke(Invoke(request_id=request_id, deadline_ms=0))

    def tell(self, type: str, **record: Any) -> None:
        body = [{"time": at, "type": f"platform.{type}", "record": record}]
        batch = parse_telemetry(msgspec.json.encode(body))
        assert not batch.skipped
        for each in batch.events:
            self.tracker.observe(each)

    def init_start(self, runtime_version: str | None = None) -> None:
        version = {} if runtime_version is None else {"runtimeVersion": runtime_version}
        self.tell("initStart", initializationType="on-demand", phase="init", **version)

    def start(self, request_id: str = "a") -> None:
        self.tell("start", requestId=request_id)

    def init_report(self) -> None:
        self.tell("initReport", initializationType="on-demand", phase="init", metrics={"durationMs": 500.0})

    def runtime_done(self, request_id: str = "a", **record: Any) -> None:
        self.tell(
            "runtimeDone",
            requestId=request_id,
            **{"status": "success", "metrics": done_metrics, "spans": spans, **record},
        )

    def report(self, request_id: str = "a", status: str = "success", error: str | None = None, **metrics: Any) -> None:
        extra = {} if error is None else {"errorType": error}
        self.tell("report", requestId=request_id, status=status, metrics={**report_metrics, **metrics}, **extra)

    def shutdown(self) -> None:
        self.tracker.shutdown(Shutdown(reason="spindown"))

    def named(self, name: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.name == f"aws.lambda.enhanced.{name}"]

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(sample.name.removeprefix("aws.lambda.enhanced.") for sample in self.samples))

    def only(self, name: str) -> Sample:
        found = self.named(name)
        assert len(found) == 1, found
        return found[0]
