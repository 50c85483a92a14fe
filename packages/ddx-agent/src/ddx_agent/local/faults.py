"""What may go wrong on the platform's side, as data: given to `open_platform(faults=…)`, and safe to leave at its defaults."""

from __future__ import annotations

from enum import Enum

import msgspec


class Target(Enum):
    """Which processes of an extension a signal goes to."""

    DESCENDANTS = "descendants"
    """All but the process that the platform started, which owns the Extensions API calls."""
    MAIN = "main"
    ALL = "all"


class AgentSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Send `signal` to the extension's processes, `after_ms` into the nth invocation (the first is 1).

    A process that got SIGSTOP this way stays stopped: a thaw does not continue it.
    """

    signal: int
    invocation: int = 1
    after_ms: float = 0
    target: Target = Target.DESCENDANTS


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Faults of telemetry delivery and of the agent's processes. Each is independent of the others."""

    telemetry_unsupported: bool = False
    """Subscribing answers 202 `Telemetry.NotSupported`, and no event is ever sent."""
    telemetry_schemas: tuple[str, ...] | None = None
    """Schema versions that subscribing accepts, in place of all there are; others get a 400."""
    telemetry_delay_ms: float = 0
    """Each batch is held this long, on top of the subscriber's own buffering."""
    hold_past_next_invoke: tuple[str, ...] = ()
    """Events of these types (`*` = all) are kept until the next INVOKE has been sent (or the shutdown)."""
    duplicate_batches: int = 0
    """Each batch is posted this many times more, as after an answer that was lost."""
    split_batches: int = 0
    """At most this many events in a request (0 = as the subscriber asked)."""
    inject_events: tuple[bytes, ...] = ()
    """JSON values put in front of every batch as they are: unknown types, wrong fields, anything."""
    garbage_batches: int = 0
    """Before the first batch, this many requests whose body is no JSON."""
    invoke_delay_ms: float = 0
    """Extensions get their INVOKE this much later than the runtime gets its event."""
    agent_signals: tuple[AgentSignal, ...] = ()
