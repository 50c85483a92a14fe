"""A model of a sandbox whose telemetry arrives late, mixed up and twice: each line comes out once, with its own id, or counted;
masked where a rule says so, and of a durable function with its execution when a span told it, but never with another's.

What the model holds to, because Lambda does: the STARTs arrive in order, and a line does not overtake the START of its
invocation. Everything else may overtake everything.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ddx_core.events import (
    InitStart,
    LogLine,
    Report,
    ReportMetrics,
    RuntimeDone,
    RuntimeDoneMetrics,
    Start,
    TelemetryEvent,
)
from ddx_core.pipeline import FlushKind
from ddx_logs.durable import DurableContext
from ddx_logs.request_ids import looks_back
from ddx_logs.rules import Rule, RuleType
from ddx_logs.settings import LogsSettings

from .support import Rig

rules = (
    Rule(RuleType.MASK_SEQUENCES, "cards", r"card (\d)\d+", "card $1***"),
    Rule(RuleType.EXCLUDE_AT_MATCH, "noise", '^noise|noise"'),
)
durable_runtime = "python:3.13.DurableFunction.v1"
epoch_ns = 1_700_000_000_000_000_000


class _Transit:
    """An event on its way. `owner` is the number of the invocation whose START it must not overtake, None for none."""

    def __init__(self, event: TelemetryEvent, owner: int | None) -> None:
        self.event = event
        self.owner = owner


class Sandbox(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()
        self.clock = 0
        self.begun = 0
        self.is_running = False
        self.written = 0
        self.transit: list[_Transit] = []
        self.repeatable: list[TelemetryEvent] = []
        self.owners: dict[str, int | None] = {}
        self.filtered = 0
        self.told: set[int] = set()

    @initialize(
        small=st.booleans(),
        durable_invocations=st.sampled_from([0, 0, 1, 3]),
        runtime=st.sampled_from(["", durable_runtime]),
    )
    def init(self, small: bool, durable_invocations: int, runtime: str) -> None:
        bounds = LogsSettings(
            rules=rules,
            durable_invocations=durable_invocations,
            max_bytes=1500 if small else 1 << 20,
            max_waiting_items=3 if small else 1000,
            max_batch_items=2 if small else 1000,
        )
        self.rig = Rig(bounds, outbox_bytes=1200 if small else 1 << 20)
        self.transit.append(_Transit(InitStart(time_ns=self.now(), runtime_version=runtime), None))

    def now(self) -> int:
        self.clock += 1
        return epoch_ns + self.clock * 1_000_000

    def id_of(self, number: int) -> str:
        return f"request-{number}"

    @precondition(lambda self: not self.is_running and self.begun < looks_back)
    @rule()
    def begin(self) -> None:
        self.begun += 1
        self.is_running = True
        self.transit.append(_Transit(Start(request_id=self.id_of(self.begun), time_ns=self.now()), None))

    @precondition(lambda self: self.begun > 0)
    @rule(choice=st.integers(min_value=0, max_value=10**6))
    def tell_execution(self, choice: int) -> None:
        """A tracer's span, which may come at any time and more than once."""
        number = choice % self.begun + 1
        self.told.add(number)
        context = DurableContext(execution_id=f"execution-{number}", execution_name="orders")
        self.rig.pipeline.learn_execution(self.id_of(number), context)

    @rule(
        kind=st.sampled_from(["function", "extension", "own id"]),
        word=st.sampled_from(["line", "line", "noise", "card"]),
    )
    def write(self, kind: str, word: str) -> None:
        self.written += 1
        self.filtered += word == "noise"
        written = f"noise {self.written}" if word == "noise" else f"{word} 7{self.written:04}"
        text = f"{self.written}: card 7***" if word == "card" else written
        if word == "card":
            written = f"{self.written}: {written}"
        at = self.now()
        # What is written before the first START belongs to the invocation that START begins.
        owner = self.begun or None
        if kind == "own id" and owner is not None:
            head = f'{{"requestId":"{self.id_of(owner)}","{word}":"'
            ending = '","x":"noise"}' if word == "noise" else '"}'
            self.transit.append(
                _Transit(LogLine(time_ns=at, fields=msgspec.json.decode(f"{head}{written}{ending}")), None)
            )
            self.owners[f"{head}{text}{ending}"] = owner
        else:
            line = LogLine(time_ns=at, from_extension=kind == "extension", text=written)
            self.transit.append(_Transit(line, owner))
            self.owners[text] = self.owners[written] = owner

    @precondition(lambda self: self.is_running)
    @rule(has_metrics=st.booleans())
    def finish(self, has_metrics: bool) -> None:
        self.is_running = False
        metrics = RuntimeDoneMetrics(duration_ms=1.0) if has_metrics else None
        request_id = self.id_of(self.begun)
        done = RuntimeDone(request_id=request_id, time_ns=self.now(), metrics=metrics)
        report = Report(request_id=request_id, time_ns=self.now(), metrics=ReportMetrics(duration_ms=1.0))
        self.transit += [_Transit(done, self.begun), _Transit(report, self.begun)]

    def may_arrive(self, it: _Transit) -> bool:
        starts = [each.event.request_id for each in self.transit if isinstance(each.event, Start)]
        if isinstance(it.event, Start):
            # Lines of the init arrive before the second START at the latest.
            early = any(isinstance(each.event, LogLine) and self.is_early(each.event) for each in self.transit)
            return it.event.request_id == starts[0] and (it.event.request_id == self.id_of(1) or not early)
        if isinstance(it.event, InitStart):
            return True
        return it.owner is None or self.id_of(it.owner) not in starts

    def is_early(self, line: LogLine) -> bool:
        return line.text is not None and self.owners[line.text] is None

    @precondition(lambda self: bool(self.transit))
    @rule(choice=st.integers(min_value=0, max_value=10**6))
    def arrive(self, choice: int) -> None:
        ready = [it for it in self.transit if self.may_arrive(it)]
        it = ready[choice % len(ready)]
        self.transit.remove(it)
        self.rig.observe(it.event)
        if not isinstance(it.event, LogLine):
            self.repeatable.append(it.event)

    @precondition(lambda self: bool(self.repeatable))
    @rule(choice=st.integers(min_value=0, max_value=10**6))
    def arrive_again(self, choice: int) -> None:
        before = self.rig.account.dropped("repeated_event").items
        self.rig.observe(self.repeatable[choice % len(self.repeatable)])
        assert self.rig.account.dropped("repeated_event").items == before + 1

    @rule(
        answers=st.lists(st.sampled_from([202, 202, 503, 400]), max_size=4),
        kind=st.sampled_from([FlushKind.BLOCKING, FlushKind.BACKGROUND]),
    )
    def flush(self, answers: list[int], kind: FlushKind) -> None:
        self.rig.intake.answers = answers
        trio.run(self.rig.pipeline.flush, kind)

    @invariant()
    def accounts_close(self) -> None:
        self.rig.check()

    def teardown(self) -> None:
        for _ in range(len(self.transit)):
            self.arrive(0)
        self.rig.intake.answers = []
        trio.run(self.rig.pipeline.flush, FlushKind.FINAL)
        self.rig.check()
        assert self.rig.held == 0
        lines = Counter(self.rig.intake.lines)
        assert max(lines.values(), default=1) == 1
        for text, request_id in lines:
            if text in self.owners:
                owner = self.owners[text] or (1 if self.begun else None)
                assert request_id == (None if owner is None else self.id_of(owner)), text
            elif not text.startswith("INIT_START"):
                assert f"RequestId: {request_id}" in text
        for item in self.rig.intake.items:
            known = item["message"]["lambda"]
            execution_id = known.get("durable_function.execution_id")
            assert execution_id in (None, known["request_id"] and known["request_id"].replace("request", "execution"))
            assert execution_id is None or int(execution_id.partition("-")[2]) in self.told
        assert self.rig.account.dropped("filtered").items == self.filtered
        snapshot = self.rig.account.snapshot()
        told = self.rig.account.dropped("repeated_event").items
        assert snapshot.accepted.items - told == self.written + 1 + self.begun + 2 * (self.begun - self.is_running)
        assert len(lines) == snapshot.delivered.items


TestSandbox = Sandbox.TestCase
TestSandbox.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
