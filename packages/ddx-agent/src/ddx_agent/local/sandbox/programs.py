"""The programs of one life, the extensions and the runtime: started, listened to, ended.

What they print goes to the log and to telemetry. An end that nobody asked for is fatal to the life.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from functools import partial

import trio

from ..apis.control import Control, Fatal, LifeFailed
from ..apis.extension_table import Extension
from ..apis.states import ExtensionState
from ..faults import AgentSignal, Target
from ..processes.child import Child, describe_exit
from ..processes.cpu_share import CpuShare
from ..processes.environment import extension_environment, runtime_environment
from ..processes.guard import Guard
from ..processes.presence import with_presence
from ..processes.supervisor import Supervisor
from ..refusal import Refusal
from ..telemetry import events
from .exits import Exits
from .invocation_log import InvocationLog
from .plan import LifePlan

_telemetry_log_variable = "_LAMBDA_TELEMETRY_LOG_FD"
_runtime_key = "runtime"
"""In place of the identifier that an extension has."""


class Programs:
    """`log` gives that of the present invocation. `processes` are all there are, those that programs start included."""

    def __init__(
        self,
        plan: LifePlan,
        control: Control,
        *,
        cpu: CpuShare,
        guard: Guard | None,
        log: Callable[[], InvocationLog],
    ) -> None:
        self._plan = plan
        self._control = control
        self._log = log
        self.processes = Supervisor(
            runtime_api=plan.facts.runtime_api,
            cpu=cpu,
            memory_limit=plan.function.memory_mb << 20,
            sample_s=plan.limits.memory_sample_s,
            on_memory_exceeded=self._out_of_memory,
            guard=guard,
        )
        self.exits = Exits()
        self._runtime: Child | None = None
        self._extensions: dict[str, Child] = {}
        """By their identifiers."""
        self._ran_out_of_memory = False

    # Start

    async def start_extensions(self) -> None:
        """Start those of the plan, one after the other. Raises LifeFailed."""
        table = self._control.extensions
        for program in self._plan.extensions:
            extension = table.launch(program.name)
            if isinstance(extension, Refusal):
                raise LifeFailed(Fatal("Extension.LaunchError", extension.message))
            try:
                child = await self.processes.start(
                    program.command,
                    extension_environment(self._plan.facts, self._plan.function.environment, program.environment),
                    cwd="/",
                    on_line=partial(self._extension_line, extension),
                    on_exit=partial(self._extension_exited, extension),
                )
            except OSError as error:
                extension.state = ExtensionState.LAUNCH_ERROR
                raise LifeFailed(Fatal("Extension.LaunchError", f"{program.command[0]}: {error}")) from error
            self._extensions[extension.identifier] = child

    async def start_runtime(self) -> None:
        """Raises LifeFailed."""
        function = self._plan.function
        names = [extension.name or "datadog-agent" for extension in self._control.extensions.external()]
        try:
            self._runtime = await self.processes.start(
                with_presence(function.command, names, self._plan.presence),
                runtime_environment(self._plan.facts, function.environment),
                cwd=str(function.folder),
                on_line=self._function_line,
                on_exit=self._runtime_exited,
                log_frames=_telemetry_log_variable if function.runtime == "python" else None,
            )
        except OSError as error:
            raise LifeFailed(Fatal("Runtime.InvalidEntrypoint", str(error))) from error

    # What they do

    def _function_line(self, line: str) -> None:
        self._tell_line("function", "function", line)

    def _extension_line(self, extension: Extension, line: str) -> None:
        self._tell_line("extension", extension.name or "extension", line)

    def _tell_line(self, kind: str, source: str, line: str) -> None:
        self._log().add(source, line)
        is_json = self._plan.facts.json_logs
        self._control.telemetry.emit(events.log_event(time.time(), kind, line, json_format=is_json))

    def drain_output(self) -> None:
        """Take in what they have printed up to now."""
        for child in (self._runtime, *self._extensions.values()):
            if child is not None:
                child.drain()

    def _runtime_exited(self, code: int) -> None:
        self.exits.record("runtime", code, key=_runtime_key, state=None)
        if not self.exits.in_shutdown:
            how = "exited without providing a reason" if code == 0 else f"exited with error: {describe_exit(code)}"
            error_type = "Runtime.OutOfMemory" if self._ran_out_of_memory else "Runtime.ExitError"
            self._control.fail(Fatal(error_type, f"Runtime {how}"))
        self._control.changed()

    def _extension_exited(self, extension: Extension, code: int) -> None:
        in_shutdown = self.exits.in_shutdown
        self._control.extensions.exited(extension, code, in_shutdown=in_shutdown)
        self.exits.record(extension.name or "extension", code, key=extension.identifier, state=extension.state.value)
        self._control.telemetry.unsubscribe(extension.identifier)
        if not in_shutdown:
            how = f"exit code {code}" if code >= 0 else describe_exit(code)
            self._control.fail(Fatal("Extension.Crash", how))
        self._control.changed()

    def is_alive(self, extension: Extension) -> bool:
        child = self._extensions.get(extension.identifier)
        return child is not None and child.exit_code is None

    # Memory

    def max_memory_mb(self) -> int:
        """The most that all processes have held together up to now; what a report says is never above the function's size."""
        self.processes.measure()
        return min(self._plan.function.memory_mb, max(1, math.ceil(self.processes.peak_bytes / (1 << 20))))

    def _out_of_memory(self) -> None:
        if self._runtime is not None and self._runtime.exit_code is None and not self._ran_out_of_memory:
            self._ran_out_of_memory = True
            _signal_group(self._runtime, signal.SIGKILL)

    # Faults

    def disturb_later(self, fault: AgentSignal) -> None:
        self.processes.start_soon(partial(self._disturb, fault))

    async def _disturb(self, fault: AgentSignal) -> None:
        await trio.sleep(fault.after_ms / 1000)
        for child in self._extensions.values():
            below = self.processes.descendants(child.pid)
            match fault.target:
                case Target.DESCENDANTS:
                    targets = below
                case Target.MAIN:
                    targets = [child.pid]
                case Target.ALL:
                    targets = [*below, child.pid]
            self.processes.disturb(fault.signal, targets)

    # End

    async def stop_runtime(self, deadline: float) -> None:
        """Ask it to end, and kill it at `deadline` (Trio time); when that has passed, at once."""
        runtime = self._runtime
        if runtime is None or runtime.exit_code is not None:
            return
        if deadline > trio.current_time():
            _signal_group(runtime, signal.SIGTERM)
            with trio.move_on_at(deadline):
                await runtime.wait()
        if runtime.exit_code is None:
            self.exits.will_kill(_runtime_key)
            _signal_group(runtime, signal.SIGKILL)
            await runtime.wait()

    def kill_extension(self, extension: Extension) -> None:
        if self.is_alive(extension):
            self.exits.will_kill(extension.identifier)
            self._extensions[extension.identifier].signal(signal.SIGKILL)

    async def kill_rest(self) -> None:
        """Kill all that is left, and wait until every end has been recorded."""
        for extension in self._control.extensions.external():
            self.kill_extension(extension)
        self.processes.kill()
        for child in self._extensions.values():
            await child.wait()
        # The tasks that read the children's last output note their ends; an exit is recorded when they have.
        expected = len(self._extensions) + (self._runtime is not None)
        with trio.move_on_after(1):
            await self._control.until(lambda: len(self.exits.ended) >= expected)


def _signal_group(child: Child, number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
