"""The course of one invocation: its times and its outcome, and the records and the result made of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import msgspec
import trio

from ..apis.control import Fatal
from ..function import Function
from ..invocation import Answer, Invocation, InvokeResult, Status
from ..telemetry import events
from .invocation_log import InvocationLog


class InvocationCourse:
    """The times and facts of one invocation, and the records and results made of them."""

    def __init__(self, invocation: Invocation, function: Function, init_s: float | None) -> None:
        self.invocation = invocation
        self._function = function
        self._init_s = init_s
        self._began = self._handed_over = trio.current_time()
        # One pair of readings, so that all times of this invocation fit together.
        self._wall_offset = time.time() - self._began
        self._finished = self._began
        self._status: Status = "success"
        self._error_type: str | None = None
        self.has_begun = False
        self.runtime_was_done = False
        self.runtime_done_at = self._began
        self.max_memory_mb = 0
        invocation.deadline_unix_ms = int((time.time() + function.timeout_s) * 1000)

    @property
    def request_id(self) -> str:
        return self.invocation.request.request_id

    @property
    def timeout_text(self) -> str:
        return f"Task timed out after {self._function.timeout_s:.2f} seconds"

    def begin_run(self) -> None:
        self.has_begun = True
        self._handed_over = trio.current_time()

    def runtime_done(self, at: float) -> None:
        self.runtime_was_done = True
        self.runtime_done_at = at
        answer = self.invocation.answer
        if answer is not None and answer.error_type is not None and self._status == "success":
            self._status = "error"
            self._error_type = answer.error_type

    def all_done(self, at: float) -> None:
        self._finished = at
        if not self.runtime_was_done:
            self.runtime_done_at = at

    def fail(self, failed: Fatal | None) -> None:
        if failed is None:
            self._status, self._error_type = "timeout", None
            error_type, message, body = "Sandbox.Timedout", self.timeout_text, None
        else:
            self._status = "failure" if failed.error_type.startswith("Sandbox.") else "error"
            self._error_type = error_type = failed.error_type
            message, body = failed.message, failed.body
        payload = body or msgspec.json.encode(
            {"errorType": error_type, "errorMessage": f"RequestId: {self.request_id} Error: {message}"}
        )
        self.invocation.answer_with(Answer(payload=payload, error_type=error_type, at=trio.current_time()))

    # Records

    def _trace(self) -> events.Record | None:
        if self._function.tracing != "Active":
            return None
        return events.tracing(self.invocation.request.trace_header)

    def start_record(self) -> events.Record:
        return events.start(request_id=self.request_id, version=self._function.version, trace=self._trace())

    def runtime_done_record(self) -> events.Record:
        answer = self.invocation.answer
        spans: list[events.Record] = []
        if answer is not None and answer.by_runtime and answer.at <= self.runtime_done_at:
            offset, first_byte_at = self._wall_offset, answer.at - answer.took_s
            spans = [
                events.span("responseLatency", self._handed_over + offset, first_byte_at - self._handed_over),
                events.span("responseDuration", first_byte_at + offset, answer.took_s),
                events.span("runtimeOverhead", answer.at + offset, self.runtime_done_at - answer.at),
            ]
        return events.runtime_done(
            request_id=self.request_id,
            status=self._status,
            error_type=self._error_type,
            seconds=min(self.runtime_done_at - self._handed_over, self._function.timeout_s),
            produced_bytes=answer.produced_bytes if answer is not None else None,
            spans=spans,
            trace=self._trace(),
        )

    @property
    def _seconds(self) -> float:
        if self._status == "timeout":
            return self._function.timeout_s
        return self._finished - self._began

    @property
    def _billed_ms(self) -> int:
        return math.ceil(self._seconds * 1000)

    def report_record(self) -> events.Record:
        overhead = self._finished - self.runtime_done_at
        spans: Sequence[events.Record] = ()
        if self.runtime_was_done and self._status != "timeout":
            spans = [events.span("extensionOverhead", self.runtime_done_at + self._wall_offset, overhead)]
        return events.report(
            request_id=self.request_id,
            status=self._status,
            error_type=self._error_type,
            seconds=self._seconds,
            billed_ms=self._billed_ms,
            memory_mb=self._function.memory_mb,
            max_memory_mb=self.max_memory_mb,
            init_seconds=self._init_s,
            spans=spans,
            trace=self._trace(),
        )

    def start_line(self) -> str:
        return f"START RequestId: {self.request_id} Version: {self._function.version}"

    def report_line(self) -> str:
        init = "" if self._init_s is None else f"Init Duration: {self._init_s * 1000:.2f} ms\t"
        ending = ""
        if self._status != "success":
            ending = f"Status: {self._status}\t" + (f"Error Type: {self._error_type}\t" if self._error_type else "")
        return (
            f"REPORT RequestId: {self.request_id}\tDuration: {self._seconds * 1000:.2f} ms\t"
            f"Billed Duration: {self._billed_ms} ms\tMemory Size: {self._function.memory_mb} MB\t"
            f"Max Memory Used: {self.max_memory_mb} MB\t{init}{ending}"
        )

    def result(self, log: InvocationLog) -> InvokeResult:
        answer = self.invocation.answer
        assert answer is not None
        return InvokeResult(
            request_id=self.request_id,
            payload=answer.payload,
            function_error=None if answer.error_type is None else "Unhandled",
            error_type=answer.error_type if answer.error_type is not None else self._error_type,
            status=self._status,
            log_tail=log.tail(),
            response_ms=events.milliseconds(answer.at - self._began),
            total_ms=events.milliseconds(self._finished - self._began),
            overhead_ms=events.milliseconds(self._finished - self.runtime_done_at),
            init_ms=None if self._init_s is None else events.milliseconds(self._init_s),
            billed_ms=self._billed_ms,
            memory_mb=self._function.memory_mb,
            max_memory_mb=self.max_memory_mb,
            log_lines=tuple(log.lines),
        )
