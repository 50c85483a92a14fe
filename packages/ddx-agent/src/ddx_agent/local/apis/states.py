"""States of extensions and of the runtime, and the moves that AWS's code allows between them. Pure tables.

Started ─register─▶ Registered ─next─▶ Ready ─released─▶ Running ─next─▶ Ready …
"""

from __future__ import annotations

from enum import StrEnum


class ExtensionState(StrEnum):
    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    SHUTDOWN_FAILED = "ShutdownFailed"
    EXITED = "Exited"
    LAUNCH_ERROR = "LaunchError"


class RuntimeState(StrEnum):
    STARTED = "Started"
    READY = "Ready"
    RUNNING = "Running"
    INVOCATION_RESPONSE = "InvocationResponse"
    INVOCATION_ERROR_RESPONSE = "InvocationErrorResponse"
    RESPONSE_SENT = "RuntimeResponseSentState"
    INIT_ERROR = "InitError"


_E = ExtensionState
_R = RuntimeState

# A move from a terminal error to itself is a repeat of the call, which is answered like the first one.
EXTENSION_MOVES: frozenset[tuple[ExtensionState, ExtensionState]] = frozenset(
    {
        (_E.STARTED, _E.REGISTERED),
        (_E.STARTED, _E.LAUNCH_ERROR),
        (_E.REGISTERED, _E.READY),
        (_E.REGISTERED, _E.INIT_ERROR),
        (_E.REGISTERED, _E.EXIT_ERROR),
        (_E.READY, _E.RUNNING),
        (_E.READY, _E.EXIT_ERROR),
        (_E.RUNNING, _E.READY),
        (_E.RUNNING, _E.EXIT_ERROR),
        (_E.INIT_ERROR, _E.INIT_ERROR),
        (_E.EXIT_ERROR, _E.EXIT_ERROR),
    }
)

RUNTIME_MOVES: frozenset[tuple[RuntimeState, RuntimeState]] = frozenset(
    {
        (_R.STARTED, _R.READY),
        (_R.STARTED, _R.INIT_ERROR),
        (_R.READY, _R.RUNNING),
        (_R.RUNNING, _R.INVOCATION_RESPONSE),
        (_R.RUNNING, _R.INVOCATION_ERROR_RESPONSE),
        (_R.INVOCATION_RESPONSE, _R.RESPONSE_SENT),
        (_R.INVOCATION_ERROR_RESPONSE, _R.RESPONSE_SENT),
        (_R.RESPONSE_SENT, _R.READY),
    }
)
