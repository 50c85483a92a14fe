"""What is the same in every life of a sandbox: the function, its extensions, and the platform's times and faults."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..faults import Faults
from ..function import Function
from ..processes.environment import SandboxFacts
from ..processes.presence import Presence


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The platform's times, in seconds. The defaults are Lambda's."""

    init_s: float = 10.0
    shutdown_s: float = 2.0
    """With at least one external extension."""
    shutdown_internal_s: float = 0.5
    """With internal extensions only; without any the runtime is killed at once."""
    runtime_share: float = 0.3
    """Part of the shutdown's time that the runtime may take."""
    telemetry_flush_s: float = 1.0
    memory_sample_s: float = 0.1
    async_retry_delays_s: tuple[float, ...] = (60.0, 120.0)
    """Before each further attempt at an asynchronous event (invocation type `Event`) whose function failed."""


class ExtensionProgram(msgspec.Struct, frozen=True, kw_only=True):
    """An external extension. Without a name it is known by the one it registers with."""

    command: tuple[str, ...]
    name: str | None = None
    environment: Mapping[str, str] = {}


class LifePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same in every life of one sandbox."""

    function: Function
    facts: SandboxFacts
    extensions: tuple[ExtensionProgram, ...]
    presence: Presence
    limits: Limits
    faults: Faults
