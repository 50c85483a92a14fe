"""One life of the sandbox, from INIT to the death of its last process: init, invoke, freeze, shutdown.

The order of steps and of telemetry is that of AWS's own sandbox code. Each step waits for what processes do through
`Control`; a fatal event ends any wait with `LifeFailed`. Time limits are the caller's cancel scopes, except the budget
of a shutdown, which nothing may exceed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import uuid4

import msgspec
import trio

from ..apis.control import Control, ExtensionEvent, Fatal, registration_facts
from ..apis.extension_table import Extension, ExtensionTable
from ..apis.states import ExtensionState, RuntimeState
from ..faults import AgentSignal, Target
from ..invocation import Invocation
from ..processes.child import Child, describe_exit
from ..processes.cpu_share import CpuShare, share_of
from ..processes.environment import extension_environment, runtime_environment
from ..processes.guard import Guard
from ..processes.presence import with_presence
from ..processes.supervisor import Supervisor
from ..refusal import Refusal
from ..telemetry import events
from ..telemetry.hub import TelemetryHub
from .exits import Exits
from .init_course import InitCourse, extension_line, extension_record
from .invocation_log import InvocationLog
from .plan import LifePlan

_telemetry_log_variable = "_LAMBDA_TELEMETRY_LOG_FD"
_runtime_key = "runtime"
"""In place of the identifier that an extension has."""


class LifeFailed(Exception):
    """The life cannot go on: a process ended, or reported an error."""

    def __init__(self, fatal: Fatal) -> None:
        super().__init__(fatal.error_type)
        self.fatal = fatal


class Life:
    def __init__(
        self, plan: LifePlan, *, phase: str, cpu: CpuShare, guard: Guard | None, log: Callable[[], InvocationLog]
    ) -> None:
        self._plan = plan
        self._log = log
        self._phase = phase
        self.telemetry = TelemetryHub(plan.faults, wall=time.time)
        function = plan.function
        self.control = Control(registration_facts(function), ExtensionTable(lambda: str(uuid4())), self.telemetry)
        self.processes = Supervisor(
            runtime_api=plan.facts.runtime_api,
            cpu=cpu,
            memory_limit=function.memory_mb << 20,
            sample_s=plan.limits.memory_sample_s,
            on_memory_exceeded=self._out_of_memory,
            guard=guard,
        )
        self.exits = Exits()
        self._runtime: Child | None = None
        self._children: dict[str, Child] = {}
        self._ran_out_of_memory = False
        self._over = trio.Event()
        self._gone = trio.Event()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the life's tasks until `end`; afterwards no process of it is left."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.telemetry.serve)
                nursery.start_soon(self.processes.serve)
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
            await self._start_extensions()
            await self._until(self.control.extensions.all_registered)
            await self._start_runtime()
            await self._until(lambda: self.control.runtime.state is RuntimeState.READY)
            self.control.extensions.registration_is_open = False
            await self._until(self.control.extensions.all_ready)
            course.succeed()
        except LifeFailed as failure:
            course.fail(failure.fatal)
            raise
        finally:
            self.telemetry.close_subscription()
            self.drain_output()
            course.end()
            self._tell_init(course)
        if self._phase == "init":
            self.processes.limit_cpu(share_of(self._plan.function.memory_mb))

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

    async def _start_extensions(self) -> None:
        table = self.control.extensions
        for program in self._plan.extensions:
            extension = table.launch(program.name)
            if isinstance(extension, Refusal):
                raise LifeFailed(Fatal("Extension.LaunchError", extension.message))
            try:
                child = await self.processes.start(
                    program.name or "extension",
                    program.command,
                    extension_environment(self._plan.facts, self._plan.function.environment, program.environment),
                    cwd="/",
                    on_line=partial(self._extension_line, extension),
                    on_exit=partial(self._extension_exited, extension),
                )
            except OSError as error:
                extension.state = ExtensionState.LAUNCH_ERROR
                raise LifeFailed(Fatal("Extension.LaunchError", f"{program.command[0]}: {error}")) from error
            self._children[extension.identifier] = child

    async def _start_runtime(self) -> None:
        function = self._plan.function
        names = [extension.name or "datadog-agent" for extension in self.control.extensions.external()]
        try:
            self._runtime = await self.processes.start(
                "runtime",
                with_presence(function.command, names, self._plan.presence),
                runtime_environment(self._plan.facts, function.environment),
                cwd=str(function.folder),
                on_line=self._function_line,
                on_exit=self._runtime_exited,
                log_frames=_telemetry_log_variable if function.runtime == "python" else None,
            )
        except OSError as error:
            raise LifeFailed(Fatal("Runtime.InvalidEntrypoint", str(error))) from error

    async def _until(self, reached: Callable[[], bool]) -> None:
        control = self.control
        await control.until(lambda: control.fatal is not None or reached())
        if control.fatal is not None:
            raise LifeFailed(control.fatal)

    # What processes do

    def _function_line(self, line: str) -> None:
        self._log().add("function", line)
        is_json = self._plan.facts.json_logs
        self.telemetry.emit(events.log_event(time.time(), "function", line, json_format=is_json))

    def _extension_line(self, extension: Extension, line: str) -> None:
        self._log().add(extension.name or "extension", line)
        is_json = self._plan.facts.json_logs
        self.telemetry.emit(events.log_event(time.time(), "extension", line, json_format=is_json))

    def _out_of_memory(self) -> None:
        if self._runtime is not None and self._runtime.exit_code is None and not self._ran_out_of_memory:
            self._ran_out_of_memory = True
            self._signal_runtime(signal.SIGKILL)

    def _runtime_exited(self, code: int) -> None:
        self.exits.record("runtime", code, key=_runtime_key, state=None)
        if not self.exits.in_shutdown:
            how = "exited without providing a reason" if code == 0 else f"exited with error: {describe_exit(code)}"
            error_type = "Runtime.OutOfMemory" if self._ran_out_of_memory else "Runtime.ExitError"
            self.control.fail(Fatal(error_type, f"Runtime {how}"))
        self.control.changed()

    def _extension_exited(self, extension: Extension, code: int) -> None:
        in_shutdown = self.exits.in_shutdown
        self.control.extensions.exited(extension, code, in_shutdown=in_shutdown)
        self.exits.record(extension.name or "extension", code, key=extension.identifier, state=extension.state.value)
        self.telemetry.unsubscribe(extension.identifier)
        if not in_shutdown:
            how = f"exit code {code}" if code >= 0 else describe_exit(code)
            self.control.fail(Fatal("Extension.Crash", how))
        self.control.changed()

    def drain_output(self) -> None:
        """Take in what processes have printed up to now."""
        for child in (self._runtime, *self._children.values()):
            if child is not None:
                child.drain()

    # Invoke

    async def hand_over(self, invocation: Invocation, number: int) -> None:
        """Give one invocation to everyone who waits for it."""
        for fault in self._plan.faults.agent_signals:
            if fault.invocation == number:
                self.processes.start_soon(partial(self._disturb, fault))
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
        self.drain_output()
        return self.control.runtime_ready_at

    async def wait_extensions_done(self, runtime_done_at: float) -> float:
        """Until every extension asks for its next event; gives the moment (Trio time), at earliest `runtime_done_at`."""
        await self._until(self.control.extensions.all_done)
        self.drain_output()
        return max(runtime_done_at, self.control.last_extension_next_at)

    async def _disturb(self, fault: AgentSignal) -> None:
        await trio.sleep(fault.after_ms / 1000)
        for child in self._children.values():
            below = self.processes.descendants(child.pid)
            match fault.target:
                case Target.DESCENDANTS:
                    targets = below
                case Target.MAIN:
                    targets = [child.pid]
                case Target.ALL:
                    targets = [*below, child.pid]
            self.processes.disturb(fault.signal, targets)

    # Freeze

    def freeze(self) -> None:
        self.telemetry.freeze()
        self.processes.freeze()

    def thaw(self) -> None:
        self.processes.thaw()
        self.telemetry.thaw()

    # Shutdown

    async def shutdown(self, reason: str, *, before_event: Callable[[], None]) -> None:
        """Runtime first, then the extensions, then whatever is left; never longer than the budget.

        `before_event` is called when the runtime is gone and telemetry can still be delivered.
        """
        limits = self._plan.limits
        registered = [extension for extension in self.control.extensions.extensions if extension.has_registered]
        external = [extension for extension in registered if self._is_alive(extension)]
        if external:
            budget_s, share = limits.shutdown_s, limits.runtime_share
        else:
            budget_s, share = (limits.shutdown_internal_s if registered else 0.0), 1.0
        began = self.exits.begin_shutdown()
        deadline_ms = int((time.time() + budget_s) * 1000)
        with trio.CancelScope(shield=True):
            await self._stop_runtime(began + budget_s * share)
            self.drain_output()
            before_event()
            with trio.move_on_at(min(began + budget_s, trio.current_time() + limits.telemetry_flush_s)):
                await self.telemetry.flush()
            self._send_shutdown(external, reason, deadline_ms)
            with trio.move_on_at(began + budget_s):
                await self.control.until(lambda: not any(self._is_alive(extension) for extension in external))
            await self._kill_rest()
            await self.end()

    def _is_alive(self, extension: Extension) -> bool:
        child = self._children.get(extension.identifier)
        return child is not None and child.exit_code is None

    async def _stop_runtime(self, deadline: float) -> None:
        runtime = self._runtime
        if runtime is None or runtime.exit_code is not None:
            return
        if deadline > trio.current_time():
            self._signal_runtime(signal.SIGTERM)
            with trio.move_on_at(deadline):
                await runtime.wait()
        if runtime.exit_code is None:
            self.exits.will_kill(_runtime_key)
            self._signal_runtime(signal.SIGKILL)
            await runtime.wait()

    def _signal_runtime(self, number: int) -> None:
        assert self._runtime is not None
        try:
            os.killpg(self._runtime.pid, number)
        except ProcessLookupError:
            return

    def _send_shutdown(self, external: Sequence[Extension], reason: str, deadline_ms: int) -> None:
        body = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms}
        for extension in external:
            if extension.wants("SHUTDOWN"):
                self.control.send_event(extension, ExtensionEvent(msgspec.json.encode(body), (), None))
            else:
                self._kill_extension(extension)

    def _kill_extension(self, extension: Extension) -> None:
        if self._is_alive(extension):
            self.exits.will_kill(extension.identifier)
            self._children[extension.identifier].signal(signal.SIGKILL)

    async def _kill_rest(self) -> None:
        for extension in self.control.extensions.external():
            self._kill_extension(extension)
        self.processes.kill()
        for child in self._children.values():
            await child.wait()
        # The tasks that read the children's last output note their ends; an exit is recorded when they have.
        expected = len(self._children) + (self._runtime is not None)
        with trio.move_on_after(1):
            await self.control.until(lambda: len(self.exits.ended) >= expected)
