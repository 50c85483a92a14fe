"""What a signal may want to hear of invocations. Every method is synchronous and returns at once."""

from __future__ import annotations

from ..events import InitReport, InitStart, Report, RestoreReport, RestoreStart, RuntimeDone, Shutdown, Start
from .record import Invocation


class InvocationObserver:
    """Override what is of interest. The invocation passed already carries the event's facts.

    Each event of an invocation is told at most once: the tracker drops repeats. `on_invoke` comes once per invocation,
    at INVOKE, or at the first telemetry of it where there is no INVOKE (Managed Instances).
    """

    def on_init_start(self, event: InitStart) -> None: ...

    def on_init_report(self, event: InitReport) -> None: ...

    def on_restore_start(self, event: RestoreStart) -> None: ...

    def on_restore_report(self, event: RestoreReport) -> None: ...

    def on_invoke(self, invocation: Invocation) -> None: ...

    def on_start(self, invocation: Invocation, event: Start) -> None: ...

    def on_runtime_done(self, invocation: Invocation, event: RuntimeDone) -> None: ...

    def on_report(self, invocation: Invocation, event: Report) -> None: ...

    def on_shutdown(self, event: Shutdown) -> None: ...
