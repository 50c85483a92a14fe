"""One life of the sandbox, from INIT to the death of its last process: init, invoke, freeze, shutdown.

The order of steps and of telemetry is that of AWS's own sandbox code. Each step waits for what processes do through
`Control`; a fatal event ends any wait with `LifeFailed`. Time limits are the caller's cancel scopes, except the budget
of a shutdown, which nothing may exceed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import msgspec
import trio

from ..apis.control import Control, ExtensionEvent, LifeFailed, registration_facts
from ..apis.extension_table import Extension, ExtensionTable
from ..apis.states import RuntimeState
from ..invocation import Invocation
from ..processes.cpu_share import CpuShare, share_of
from ..processes.guard import Guard
from ..telemetry import events
from ..telemetry.hub import TelemetryHub
from .init_course import InitCourse, extension_line, extension_record
from .invocation_log import InvocationLog
from .plan import LifePlan
from .programs import Programs


class Life:
    def __init__(
        self, plan: LifePlan, *, phase: str, cpu: CpuShare, guard: Guard | None, log: Callable[[], InvocationLog]
    ) -> None:
        self._plan = plan
        self._log = log
        self._phase = phase
        self.telemetry = TelemetryHub(plan.faults, wall=time.time)
        self.control = Control(registration_facts(plan.function), ExtensionTable(lambda: str(uuid4())), self.telemetry)
        self.programs = Programs(plan, self.control, cpu=cpu, guard=guard, log=log)
        self._over = trio.Event()
        self._gone = trio.Event()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the life's tasks until `end`; afterwards no process of it is left."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.telemetry.serve)
                nursery.start_soon(self.programs.processes.serve)
                task_status.started()
                await self._over.wait()
                nursery.cancel_scope.cancel()
        finally:
            self.control.end()
            self._gone.set()

    async def end(self) -> None:
        """Returns when no task and no process of this life is left: the next one has the same Runtime API address."""
        self._over.set()
        await self._gone.wait()

    # Init

    async def init(self) -> None:
        """Start everything and wait until all of it is ready. Raises LifeFailed."""
        course = InitCourse(self._plan, self._phase)
        self.telemetry.emit_platform("initStart", course.start_record())
        try:
            await self.programs.start_extensions()
            await self._until(self.control.extensions.all_registered)
            await self.programs.start_runtime()
            await self._until(lambda: self.control.runtime.state is RuntimeState.READY)
            self.control.extensions.registration_is_open = False
            await self._until(self.control.extensions.all_ready)
            course.succeed()
        except LifeFailed as failure:
            course.fail(failure.fatal)
            raise
        finally:
            self.telemetry.close_subscription()
            self.programs.drain_output()
            course.end()
            self._tell_init(course)
        if self._phase == "init":
            self.programs.processes.limit_cpu(share_of(self._plan.function.memory_mb))

    def _tell_init(self, course: InitCourse) -> None:
        self.telemetry.emit_platform("initRuntimeDone", course.runtime_done_record())
        for extension in self.control.extensions.extensions:
            self.telemetry.emit_platform("extension", extension_record(extension))
            self._note(extension_line(extension))
        self.telemetry.emit_platform("initReport", course.report_record())
        if not course.is_success:
            self._note(course.report_line())

    def _note(self, line: str) -> None:
        """A line of the platform in the log stream."""
        self._log().add("platform", line)

    async def _until(self, reached: Callable[[], bool]) -> None:
        control = self.control
        await control.until(lambda: control.fatal is not None or reached())
        if control.fatal is not None:
            raise LifeFailed(control.fatal)

    # Invoke

    async def hand_over(self, invocation: Invocation, number: int) -> None:
        """Give one invocation to everyone who waits for it."""
        for fault in self._plan.faults.agent_signals:
            if fault.invocation == number:
                self.programs.disturb_later(fault)
        delay_s = self._plan.faults.invoke_delay_ms / 1000
        if not delay_s:
            self._send_invoke(invocation)
        self.control.release_runtime(invocation)
        if delay_s:
            await trio.sleep(delay_s)
            self._send_invoke(invocation)
        self.telemetry.release_held()

    def _send_invoke(self, invocation: Invocation) -> None:
        request = invocation.request
        event = {
            "eventType": "INVOKE",
            "deadlineMs": invocation.deadline_unix_ms,
            "requestId": request.request_id,
            "invokedFunctionArn": request.function_arn,
            "tracing": events.tracing(request.trace_header),
        }
        for extension in self.control.extensions.wanting("INVOKE"):
            headers = (("Lambda-Extension-Event-Identifier", str(uuid4())),)
            self.control.send_event(extension, ExtensionEvent(msgspec.json.encode(event), headers, "application/json"))

    async def wait_answer(self, invocation: Invocation) -> None:
        await self._until(lambda: invocation.answer is not None)

    async def wait_runtime_ready(self) -> float:
        """Until the runtime asks for the next invocation; gives the moment (Trio time)."""
        await self._until(lambda: self.control.runtime.state is RuntimeState.READY)
        self.programs.drain_output()
        return self.control.runtime_ready_at

    async def wait_extensions_done(self, runtime_done_at: float) -> float:
        """Until every extension asks for its next event; gives the moment (Trio time), at earliest `runtime_done_at`."""
        await self._until(self.control.extensions.all_done)
        self.programs.drain_output()
        return max(runtime_done_at, self.control.last_extension_next_at)

    # Freeze

    def freeze(self) -> None:
        self.telemetry.freeze()
        self.programs.processes.freeze()

    def thaw(self) -> None:
        self.programs.processes.thaw()
        self.telemetry.thaw()

    # Shutdown

    async def shutdown(self, reason: str, *, before_event: Callable[[], None]) -> None:
        """Runtime first, then the extensions, then whatever is left; never longer than the budget.

        `before_event` is called when the runtime is gone and telemetry can still be delivered.
        """
        limits = self._plan.limits
        registered = [extension for extension in self.control.extensions.extensions if extension.has_registered]
        external = [extension for extension in registered if self.programs.is_alive(extension)]
        if external:
            budget_s, share = limits.shutdown_s, limits.runtime_share
        else:
            budget_s, share = (limits.shutdown_internal_s if registered else 0.0), 1.0
        began = self.programs.exits.begin_shutdown()
        deadline_ms = int((time.time() + budget_s) * 1000)
        with trio.CancelScope(shield=True):
            await self.programs.stop_runtime(began + budget_s * share)
            self.programs.drain_output()
            before_event()
            with trio.move_on_at(min(began + budget_s, trio.current_time() + limits.telemetry_flush_s)):
                await self.telemetry.flush()
            self._send_shutdown(external, reason, deadline_ms)
            with trio.move_on_at(began + budget_s):
                await self.control.until(lambda: not any(self.programs.is_alive(extension) for extension in external))
            await self.programs.kill_rest()
            await self.end()

    def _send_shutdown(self, external: Sequence[Extension], reason: str, deadline_ms: int) -> None:
        body = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms}
        for extension in external:
            if extension.wants("SHUTDOWN"):
                self.control.send_event(extension, ExtensionEvent(msgspec.json.encode(body), (), None))
            else:
                self.programs.kill_extension(extension)
