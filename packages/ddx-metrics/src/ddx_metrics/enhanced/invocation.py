"""EnhancedMetrics: hears of invocations and makes samples of what it hears. Synchronous; the clock is an argument.

Rules of this file:
- Everything is counted at most once for a run of an invocation, whoever tells of it (platform, tracer, library, log
  line) and in whatever order.
- Tags are those of the invocation a value belongs to (its cold start is decided once, by the tracker), not those of the
  moment at which it became known: a report usually comes during the next invocation.
- The first invocation is counted when the sandbox's start is known, for its tags; at the latest when anything else is
  heard of it.
- What is told before any invocation belongs to the first, be it that only the end of that one is heard of: its init failed.
- The library or the tracer of a fast function may report an error before INVOKE is heard of. After the end of one invocation
  such a report is the next one's.
- Where invocations overlap, overlapping.py says which errors of libraries are those that others tell of.
- What an invocation used of the machine is found out by usage_of_runs.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from ddx_core.clock import WallClock, ns_per_s
from ddx_core.events import InitReport, InitStart, Report, RestoreReport, RuntimeDone, Shutdown
from ddx_core.invocation import Invocation, InvocationObserver

from ..sample import AddSamples, Sample, Values
from .overlapping import OverlappingErrors
from .report import managed_values, post_runtime_duration_ms, report_values, runtime_done_values, used_all_memory
from .runs import Counted, Run, Runs
from .usage_of_runs import UsageOfRuns

if TYPE_CHECKING:
    from ..usage import Usage

_prefix: Final = "aws.lambda.enhanced."
_max_remembered: Final = 500
_max_overlapping: Final = 4_000
"""Runs that are remembered where invocations overlap."""


class EnhancedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`holds_first`: wait with the first invocation's count until the start of the sandbox was told of (on demand).

    `one_at_a_time` is false where invocations overlap (Managed Instances). `is_new_sandbox` is false for a process that
    took the place of another: what that one counted of the sandbox is not known.
    """

    enabled: bool = True
    holds_first: bool = True
    one_at_a_time: bool = True
    is_new_sandbox: bool = True


def _nothing_to_drain() -> None:
    pass


class EnhancedMetrics(InvocationObserver):
    """`architecture` is `x86_64` or `arm64` (for the price). Samples go to `add`.

    `drain` takes in what lies in the sockets. It is called before a new invocation begins and when the end of one
    is told, so that what each sent by itself is told apart; and where invocations overlap, before the errors of libraries are
    matched with others'.
    `usage`, if given, is read for what invocations use of the machine.
    """

    def __init__(
        self,
        add: AddSamples,
        *,
        settings: EnhancedSettings,
        now_ns: WallClock,
        architecture: str,
        drain: Callable[[], None] = _nothing_to_drain,
        usage: Usage | None = None,
    ) -> None:
        self._add = add
        self._settings = settings
        self._now_ns = now_ns
        self._architecture = architecture
        self._drain = drain
        self._usage: UsageOfRuns | None = None
        if usage is not None and settings.enabled:
            self._usage = UsageOfRuns(usage, one_at_a_time=settings.one_at_a_time)
        self._runtime: str | None = None
        self._is_durable = False
        self._init_type: str | None = None
        most = _max_remembered if settings.one_at_a_time else _max_overlapping
        self._runs = Runs(most=most)
        self._overlapping = None if settings.one_at_a_time else OverlappingErrors(self._drain, most=most)
        self._held_back: tuple[Run, int] | None = None
        self._start_is_known = not settings.holds_first
        self._init_is_counted = False

    # --- what others know ---

    def set_runtime(self, name: str) -> None:
        """The function's runtime (`python3.12`), once somebody has found it out: a tag from here on."""
        self._runtime = name

    def invocation_error(self, request_id: str | None) -> None:
        """A tracer tells that an invocation failed; None: the one that runs."""
        run = self._runs.find(request_id) if self._overlapping is not None else self._runs.of_tracer(request_id)
        is_news = run.first_time(Counted.ERROR)
        if is_news and self._overlapping is not None:
            is_news = self._overlapping.by_tracer(run)
        if is_news:
            self._emit([("errors", 1.0)], self._now_s(), self._tags(run))

    def out_of_memory(self, request_id: str | None, time_ns: int) -> None:
        """A sign of exhausted memory was seen, at `time_ns` (Unix); None: in whatever invocation was the latest."""
        self._count_out_of_memory(self._runs.find(request_id), time_ns // ns_per_s)

    def admit_error(self) -> bool:
        """A library reports an error of the running invocation by itself: whether its sample is the one to count.

        The platform's word for the same invocation is then passed over; if that came first, the library's is.
        """
        if not self._settings.enabled:
            return True
        if self._overlapping is not None:
            return self._overlapping.by_library()
        run = self._runs.of_report()
        run.first_time(Counted.REPORTED)
        return run.first_time(Counted.ERROR)

    # --- what the tracker tells ---

    def on_init_start(self, event: InitStart) -> None:
        if event.runtime_version is not None and "DurableFunction" in event.runtime_version:
            self._is_durable = True
        self._init_type = event.initialization_type
        self._start_is_known = True
        self._release()

    def on_init_report(self, event: InitReport) -> None:
        self._init_type = event.initialization_type
        self._count_init(event.metrics.duration_ms, event.time_ns // ns_per_s)

    def on_restore_report(self, event: RestoreReport) -> None:
        if event.metrics is not None:
            seconds = event.metrics.duration_ms * 0.001
            self._emit(
                [("snapstart_restore_duration", seconds)], event.time_ns // ns_per_s, self._tags(self._runs.first)
            )

    def on_invoke(self, invocation: Invocation) -> None:
        self._drain()
        self._release()
        previous, run = self._runs.latest, self._runs.begin(invocation)
        if self._usage is not None:
            self._usage.begin(run, previous)
        if self._overlapping is not None:
            self._overlapping.begin(invocation.request_id)
        time_s = (invocation.invoked_ns or self._now_ns()) // ns_per_s
        if self._start_is_known or run is not self._runs.first:
            self._emit([("invocations", 1.0)], time_s, self._tags(run))
        else:
            self._held_back = (run, time_s)

    def on_runtime_done(self, invocation: Invocation, event: RuntimeDone) -> None:
        self._release()
        run, time_s = self._runs.of(invocation), event.time_ns // ns_per_s
        self._end(run)
        self._emit(runtime_done_values(event), time_s, self._tags(run))
        self._count_status(run, event.status, event.error_type, time_s)
        self._count_post_runtime(run, invocation)
        if self._usage is not None:
            used = self._usage.at_end(run, is_latest=run is self._runs.latest)
            self._emit(used, self._now_s(), self._tags(run))

    def on_report(self, invocation: Invocation, event: Report) -> None:
        self._release()
        run, time_s = self._runs.of(invocation), event.time_ns // ns_per_s
        self._end(run)
        self._emit(report_values(event, self._architecture), time_s, self._tags(run))
        if not event.metrics.is_on_demand and invocation.runtime_done is None:
            self._emit(managed_values(event), time_s, self._tags(run))
        self._count_status(run, event.status, event.error_type, time_s)
        if used_all_memory(event):
            self._count_out_of_memory(run, time_s)
        self._count_post_runtime(run, invocation)
        if event.metrics.init_duration_ms is not None:
            self._count_init(event.metrics.init_duration_ms, time_s)
        if self._usage is not None:
            now_s = self._now_s()
            self._emit(self._usage.at_report(run, now_s), now_s, self._tags(run))
        if self._overlapping is not None:
            self._overlapping.end(invocation.request_id, run)

    def on_shutdown(self, event: Shutdown) -> None:
        self._release()
        values = [("shutdowns", 1.0)]
        if self._runs.latest is None and self._settings.is_new_sandbox:
            values.append(("unused_init", 1.0))
        if self._usage is not None:
            values += self._usage.at_shutdown()
        self._emit(values, self._now_s(), self._tags(self._runs.latest))

    # --- counting ---

    def _release(self) -> None:
        """Count the invocation that was held back."""
        if self._held_back is not None:
            run, time_s = self._held_back
            self._held_back = None
            self._emit([("invocations", 1.0)], time_s, self._tags(run))

    def _end(self, run: Run) -> None:
        """What its library sent lies in the sockets by now, so whatever comes after that is of the next run."""
        if self._settings.one_at_a_time and not self._runs.has_ended(run):
            self._drain()
            self._runs.end(run)

    def _count_status(self, run: Run, status: str, error_type: str | None, time_s: int) -> None:
        if status == "success":
            return
        is_news = run.first_time(Counted.ERROR)
        if is_news and status == "error" and self._overlapping is not None:
            is_news = self._overlapping.by_platform()
        if is_news:
            self._emit([("errors", 1.0)], time_s, self._tags(run))
        if status == "timeout" and run.first_time(Counted.TIMEOUT):
            self._emit([("timeouts", 1.0)], time_s, self._tags(run))
        if status == "error" and error_type == "Runtime.OutOfMemory":
            self._count_out_of_memory(run, time_s)

    def _count_out_of_memory(self, run: Run, time_s: int) -> None:
        if run.first_time(Counted.OUT_OF_MEMORY):
            self._emit([("out_of_memory", 1.0)], time_s, self._tags(run))

    def _count_post_runtime(self, run: Run, invocation: Invocation) -> None:
        """Whichever of the two records it takes comes last."""
        report, runtime_done = invocation.report, invocation.runtime_done
        if report is None or runtime_done is None:
            return
        duration_ms = post_runtime_duration_ms(report, runtime_done)
        if duration_ms is not None and run.first_time(Counted.POST_RUNTIME):
            self._emit([("post_runtime_duration", duration_ms)], report.time_ns // ns_per_s, self._tags(run))

    def _count_init(self, duration_ms: float, time_s: int) -> None:
        """Once for a sandbox: the init report tells it, and so does the first invocation's report."""
        if self._init_is_counted:
            return
        self._init_is_counted = True
        self._emit([("init_duration", duration_ms * 0.001)], time_s, self._tags(self._runs.first))

    # --- samples ---

    def _emit(self, values: Values, time_s: int, tags: tuple[str, ...]) -> None:
        if self._settings.enabled and values:
            self._add([Sample(name=_prefix + name, value=value, time_s=time_s, tags=tags) for name, value in values])

    def _tags(self, run: Run | None) -> tuple[str, ...]:
        tags: list[str] = []
        if run is not None:
            if run.invocation is not None:
                tags.append("cold_start:true" if run.invocation.cold_start else "cold_start:false")
                if run.invocation.proactive:
                    tags.append("proactive_initialization:true")
            if self._runtime is not None:
                tags.append(f"runtime:{self._runtime}")
        if self._init_type is not None:
            tags.append(f"init_type:{self._init_type}")
        if self._is_durable:
            tags.append("durable_function:true")
        return tuple(tags)

    def _now_s(self) -> int:
        return self._now_ns() // ns_per_s
