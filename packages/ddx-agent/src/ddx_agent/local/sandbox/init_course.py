"""The course of one INIT: its times and its outcome, and the records and lines made of them."""

from __future__ import annotations

import hashlib
from typing import Literal

import trio

from ..apis.control import Fatal
from ..apis.extension_table import Extension
from ..telemetry import events
from .plan import LifePlan


class InitCourse:
    """`phase`: `init`, or `invoke` when it is done on the function's time. It has timed out until it is told otherwise."""

    def __init__(self, plan: LifePlan, phase: str) -> None:
        self._function = plan.function
        self._facts = plan.facts
        self._phase = phase
        self._began = trio.current_time()
        self._seconds = 0.0
        self._status: Literal["success", "error", "timeout"] = "timeout"
        self._error_type: str | None = None

    @property
    def is_success(self) -> bool:
        return self._status == "success"

    def succeed(self) -> None:
        self._status = "success"

    def fail(self, fatal: Fatal) -> None:
        self._status, self._error_type = "error", fatal.error_type

    def end(self) -> None:
        self._seconds = trio.current_time() - self._began

    def start_record(self) -> events.Record:
        function, facts = self._function, self._facts
        version = None if facts.execution_env is None else _runtime_version(facts.execution_env)
        return events.init_start(
            phase=self._phase,
            initialization_type=facts.initialization_type,
            function_name=function.name,
            function_version=function.version,
            function_arn=function.arn,
            runtime_version=version,
            runtime_version_arn=None if version is None else _runtime_version_arn(facts.region, version),
            instance_id=facts.log_stream,
            instance_max_memory=function.memory_mb << 20,
        )

    def runtime_done_record(self) -> events.Record:
        return events.init_runtime_done(
            phase=self._phase,
            initialization_type=self._facts.initialization_type,
            status=self._status,
            # AWS's code names no better type when the runtime has not come back in time.
            error_type="Runtime.Unknown" if self._status == "timeout" else self._error_type,
        )

    def report_record(self) -> events.Record:
        return events.init_report(
            phase=self._phase,
            initialization_type=self._facts.initialization_type,
            seconds=self._seconds,
            status=self._status,
            error_type=self._error_type,
        )

    def report_line(self) -> str:
        reason = f"\tError Type: {self._error_type}" if self._error_type else ""
        duration = f"{self._seconds * 1000:.2f}"
        return f"INIT_REPORT Init Duration: {duration} ms\tPhase: {self._phase}\tStatus: {self._status}{reason}"


def extension_record(extension: Extension) -> events.Record:
    """What is told at the end of INIT of each extension, whatever its state."""
    return events.extension(
        name=extension.name or "?",
        state=extension.state.value,
        events=extension.events,
        error_type=extension.error_type,
    )


def extension_line(extension: Extension) -> str:
    listed = ", ".join(extension.events)
    return f"EXTENSION\tName: {extension.name or '?'}\tState: {extension.state.value}\tEvents: [{listed}]"


def _runtime_version(execution_env: str) -> str:
    """`AWS_Lambda_python3.11` → `python:3.11.v1`, the form of Lambda's runtime version names."""
    name = execution_env.rsplit("_", 1)[-1]
    letters = name.rstrip("0123456789.")
    return f"{letters}:{name[len(letters) :]}.v1"


def _runtime_version_arn(region: str, version: str) -> str:
    """Made up, but the same for the same version, and of the usual form."""
    return f"arn:aws:lambda:{region}::runtime:{hashlib.sha256(version.encode()).hexdigest()}"
