"""The sandbox of one function: takes invocations one after the other, and lives through as many lives as they need.

Cold start: INIT with its own limit; when that fails it is tried again inside the invocation, on the function's time. A
timeout or a fatal event ends the life (reset), and the next invocation begins with a fresh one. Between invocations
everything is frozen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import msgspec
import trio

from ..apis.control import Control, Fatal, LifeFailed, registration_facts
from ..apis.extension_table import ExtensionTable
from ..invocation import Invocation
from ..processes.cpu_share import CpuShare
from ..processes.guard import Guard
from ..telemetry import events
from ..telemetry.hub import TelemetryHub
from .exits import ProcessExit
from .invocation_course import InvocationCourse
from .invocation_log import InvocationLog, OnLine
from .life import Life
from .plan import LifePlan

max_queued = 1000


class LifeEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How one life of the sandbox ended."""

    reason: str
    """What the extensions were told: `spindown`, `timeout` or `failure`."""
    error_type: str | None
    took_ms: float
    exits: tuple[ProcessExit, ...]


class _Order(msgspec.Struct):
    """Something else than an invocation to do, in turn with them: warm up, or shut down for a reason."""

    shutdown_reason: str | None
    done: trio.Event


class SandboxBusy(Exception):
    """More invocations wait than the platform keeps."""


class Sandbox:
    def __init__(
        self, plan: LifePlan, *, cpu: CpuShare, guard: Guard | None, freeze: bool, on_line: OnLine | None
    ) -> None:
        self._plan = plan
        self._on_line = on_line
        self._cpu = cpu
        self._guard = guard
        self._freeze = freeze
        self._queue, self._queued = trio.open_memory_channel[Invocation | _Order](max_queued)
        self._life: Life | None = None
        self._idle_control = _no_life(plan)
        self._next_phase = "init"
        self._init_s: float | None = None
        self._log = InvocationLog(on_line)
        self._count = 0
        self.life_ends: list[LifeEnd] = []

    def current_control(self) -> Control:
        """The life that the Lambda APIs serve; between lives one in which every identifier is unknown."""
        return self._life.control if self._life is not None else self._idle_control

    def submit(self, invocation: Invocation) -> None:
        try:
            self._queue.send_nowait(invocation)
        except trio.WouldBlock:
            raise SandboxBusy from None

    async def enqueue(self, invocation: Invocation) -> None:
        """Submit when there is room."""
        await self._queue.send(invocation)

    async def warm(self) -> None:
        """Initialise before any invocation, as provisioned concurrency does."""
        await self._do(None)

    async def shutdown(self, reason: str) -> None:
        """End the present life, when there is one, after the invocations that already wait."""
        await self._do(reason)

    async def _do(self, shutdown_reason: str | None) -> None:
        order = _Order(shutdown_reason, trio.Event())
        await self._queue.send(order)
        await order.done.wait()

    async def serve(self) -> None:
        """Work through the queue until cancelled."""
        async with trio.open_nursery() as nursery:
            async for job in self._queued:
                self._thaw()
                if isinstance(job, Invocation):
                    await self._invoke(job, nursery)
                    self._log = InvocationLog(self._on_line)
                elif job.shutdown_reason is None:
                    await self._init_ahead(nursery)
                elif self._life is not None:
                    await self._end_life(self._life, job.shutdown_reason, None, next_phase="init")
                if self._freeze and self._life is not None and not self._queued.statistics().current_buffer_used:
                    self._life.freeze()
                if isinstance(job, _Order):
                    job.done.set()

    def _thaw(self) -> None:
        if self._life is not None and self._freeze:
            self._life.thaw()

    # Lives

    async def _start_life(self, nursery: trio.Nursery, phase: str) -> Life:
        life = Life(self._plan, phase=phase, cpu=self._cpu, guard=self._guard, log=lambda: self._log)
        if phase == "init":
            self._cpu.limit(None)
        self._life = life
        await nursery.start(life.serve)
        return life

    async def _init_ahead(self, nursery: trio.Nursery) -> None:
        """The INIT phase proper: outside the function's time. When it fails, the invocation tries again."""
        if self._life is not None or self._next_phase != "init":
            return
        life = await self._start_life(nursery, "init")
        began = trio.current_time()
        reason, error_type = "timeout", None
        with trio.move_on_after(self._plan.limits.init_s):
            try:
                await life.init()
                self._init_s = trio.current_time() - began
                return
            except LifeFailed as failure:
                reason, error_type = "failure", failure.fatal.error_type
        await self._end_life(life, reason, error_type, next_phase="invoke")

    async def _end_life(
        self,
        life: Life,
        reason: str,
        error_type: str | None,
        *,
        next_phase: str,
        before_event: Callable[[], None] = lambda: None,
    ) -> None:
        began = trio.current_time()
        try:
            await life.shutdown(reason, before_event=before_event)
        finally:
            self._life = None
            self._next_phase = next_phase
            self._init_s = None
        took_ms = events.milliseconds(trio.current_time() - began)
        self.life_ends.append(
            LifeEnd(reason=reason, error_type=error_type, took_ms=took_ms, exits=tuple(life.programs.exits.ended))
        )

    # One invocation

    async def _invoke(self, invocation: Invocation, nursery: trio.Nursery) -> None:
        self._count += 1
        await self._init_ahead(nursery)
        self._next_phase = "invoke"
        course = InvocationCourse(invocation, self._plan.function, self._init_s)
        self._init_s = None
        failed: Fatal | None = None
        with trio.move_on_after(self._plan.function.timeout_s) as limit:
            try:
                await self._run_course(course, nursery)
            except LifeFailed as failure:
                failed = failure.fatal
        if failed is None and not limit.cancelled_caught:
            return
        self._give_up(course, failed)
        life = self._life
        assert life is not None
        reason = "timeout" if failed is None else "failure"
        await self._end_life(
            life,
            reason,
            failed.error_type if failed is not None else None,
            next_phase="invoke",
            before_event=lambda: self._report(course, life),
        )
        self._finish(course)

    async def _run_course(self, course: InvocationCourse, nursery: trio.Nursery) -> None:
        life = self._life
        if life is None:
            life = await self._start_life(nursery, "invoke")
            await life.init()
        if life.control.fatal is not None:
            raise LifeFailed(life.control.fatal)
        course.begin_run()
        self._tell_log("start", course.start_record(), course.start_line())
        life.telemetry.emit_platform("start", course.start_record())
        await life.hand_over(course.invocation, self._count)
        await life.wait_answer(course.invocation)
        course.runtime_done(await life.wait_runtime_ready())
        life.telemetry.emit_platform("runtimeDone", course.runtime_done_record())
        course.all_done(await life.wait_extensions_done(course.runtime_done_at))
        self._report(course, life)
        self._finish(course)

    def _give_up(self, course: InvocationCourse, failed: Fatal | None) -> None:
        """The invocation timed out (`failed` is None) or its life broke: tell the caller and the subscribers."""
        life = self._life
        assert life is not None
        life.programs.drain_output()
        course.fail(failed)
        if failed is None:
            self._log.add("platform", f"{events.rfc3339(time.time())} {course.request_id} {course.timeout_text}\n")
        else:
            self._log.add("platform", f"RequestId: {course.request_id} Error: {failed.message}\n{failed.error_type}")
        if course.has_begun and not course.runtime_was_done:
            course.runtime_done(trio.current_time())
            life.telemetry.emit_platform("runtimeDone", course.runtime_done_record())
        course.all_done(trio.current_time())

    def _report(self, course: InvocationCourse, life: Life) -> None:
        course.max_memory_mb = life.programs.max_memory_mb()
        life.telemetry.emit_platform("report", course.report_record())
        self._tell_log("report", course.report_record(), f"END RequestId: {course.request_id}", course.report_line())

    def _tell_log(self, name: str, record: events.Record, *lines: str) -> None:
        """The platform's own lines in the function's log stream; the event in their place when its log format is JSON."""
        if self._plan.facts.json_logs:
            event = events.platform_event(time.time(), name, record)
            lines = (event.encode(objects=True).decode(),)
        for line in lines:
            self._log.add("platform", line)

    def _finish(self, course: InvocationCourse) -> None:
        course.invocation.finish(course.result(self._log))


def _no_life(plan: LifePlan) -> Control:
    """What the Lambda APIs answer from while there is no life: nobody is registered, and nobody may register."""
    telemetry = TelemetryHub(plan.faults, wall=time.time)
    telemetry.close_subscription()
    control = Control(registration_facts(plan.function), ExtensionTable(lambda: str(uuid4())), telemetry)
    control.extensions.registration_is_open = False
    control.end()
    return control
