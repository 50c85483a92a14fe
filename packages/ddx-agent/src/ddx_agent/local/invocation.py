"""One invocation: what the caller asked for, what came of it, and when."""

from __future__ import annotations

from typing import Literal

import msgspec
import trio

Status = Literal["success", "error", "failure", "timeout"]


class InvokeRequest(msgspec.Struct, frozen=True, kw_only=True):
    request_id: str
    payload: bytes
    function_arn: str
    trace_header: str
    client_context: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller gets. `at` is Trio time."""

    payload: bytes
    error_type: str | None = None
    content_type: str = "application/json"
    at: float
    took_s: float = 0.0
    """How long the runtime sent it, up to `at`."""
    produced_bytes: int | None = None
    """Size of what the runtime sent; `None` for an answer that the platform had to make itself."""

    @property
    def by_runtime(self) -> bool:
        return self.produced_bytes is not None


class InvokeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One finished invocation. Times are milliseconds, and begin when the sandbox takes it up (after INIT, if there is one)."""

    request_id: str
    payload: bytes
    function_error: str | None
    """`Unhandled` when the function failed, timed out or could not run; what `X-Amz-Function-Error` says."""
    error_type: str | None
    status: Status
    log_tail: bytes
    """The last 4 KB of the invocation's log, as `LogType=Tail` gives them."""
    response_ms: float
    """Until the response was there for the caller."""
    total_ms: float
    """Until every extension had called next: what the function's owner pays for."""
    overhead_ms: float
    """What the extensions added after the runtime was done."""
    init_ms: float | None
    """The INIT phase before this invocation, when it had one of its own (a cold start)."""
    billed_ms: int
    memory_mb: int
    max_memory_mb: int
    log_lines: tuple[tuple[str, str], ...]
    """What was printed meanwhile: (`function` or the extension's name, line). The first few thousand."""


class Invocation:
    """An invocation on its way through the sandbox. `responded` and `done` are set once each."""

    def __init__(self, request: InvokeRequest) -> None:
        self.request = request
        self.deadline_unix_ms = 0
        self.answer: Answer | None = None
        self.result: InvokeResult | None = None
        self.responded = trio.Event()
        self.done = trio.Event()

    def answer_with(self, answer: Answer) -> None:
        """The first answer stands: what happens after the caller has it changes nothing for the caller."""
        if self.answer is None:
            self.answer = answer
            self.responded.set()

    def finish(self, result: InvokeResult) -> None:
        self.result = result
        self.responded.set()
        self.done.set()

    async def wait_done(self) -> InvokeResult:
        await self.done.wait()
        assert self.result is not None
        return self.result
