"""What the runtime may do next, and what its answers mean. Pure: ids, states, sizes and headers in, decisions out."""

from __future__ import annotations

import re

from ..quotas import max_payload_bytes
from ..refusal import Refusal
from .states import RUNTIME_MOVES, RuntimeState

_error_type_form = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")


def error_type_of(header: str | None) -> str:
    """The error type that a runtime's header states; anything that is no `Runtime.X` or `Function.X` is Unknown."""
    found = _error_type_form.search(header or "")
    if found:
        return found.group(0)
    return "Function.Unknown" if (header or "").startswith("Function.") else "Runtime.Unknown"


class RuntimeSession:
    """The state machine of one runtime process."""

    def __init__(self) -> None:
        self.state = RuntimeState.STARTED
        self.request_id: str | None = None

    def _move(self, to: RuntimeState) -> Refusal | None:
        if (self.state, to) not in RUNTIME_MOVES:
            return Refusal(
                403,
                "InvalidStateTransition",
                f"State transition from {self.state} to {to} failed for runtime. "
                "Error: State transition is not allowed",
            )
        self.state = to
        return None

    def next(self) -> Refusal | None:
        """`invocation/next`. While an invocation runs, the call is legal and gives the same event again."""
        if self.state is RuntimeState.RUNNING:
            return None
        return self._move(RuntimeState.READY)

    def release(self, request_id: str) -> None:
        """Hand an invocation to a runtime that waits in next."""
        refusal = self._move(RuntimeState.RUNNING)
        assert refusal is None, refusal
        self.request_id = request_id

    def respond(self, request_id: str) -> Refusal | None:
        return self._wrong_id(request_id) or self._move(RuntimeState.INVOCATION_RESPONSE)

    def fail(self, request_id: str) -> Refusal | None:
        return self._wrong_id(request_id) or self._move(RuntimeState.INVOCATION_ERROR_RESPONSE)

    def _wrong_id(self, request_id: str) -> Refusal | None:
        if self.request_id is None or request_id != self.request_id:
            return Refusal(400, "InvalidRequestID", "Invalid request ID")
        return None

    def response_sent(self) -> None:
        # The id stays in flight until the next release: a second answer for it is a wrong state, not a wrong id.
        refusal = self._move(RuntimeState.RESPONSE_SENT)
        assert refusal is None, refusal

    def init_error(self) -> Refusal | None:
        return self._move(RuntimeState.INIT_ERROR)


class ResponseMode:
    BUFFERED = "buffered"
    STREAMING = "streaming"


def response_mode(header: str | None) -> str | Refusal:
    match header:
        case None | "":
            return ResponseMode.BUFFERED
        case "streaming":
            return ResponseMode.STREAMING
        case _:
            return Refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")


def too_large() -> Refusal:
    return Refusal(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({max_payload_bytes} bytes).")
