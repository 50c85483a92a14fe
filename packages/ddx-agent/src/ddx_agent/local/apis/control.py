"""What the three Lambda APIs and the sandbox share during one life: who is in which state, and who waits for what.

The API handlers record what processes did and wake the sandbox; the sandbox hands out events and wakes the handlers.
All changes are synchronous, so that each sees a whole state.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from ..function import Function
from ..invocation import Invocation
from ..refusal import Refusal
from ..telemetry.hub import TelemetryHub
from .extension_table import Extension, ExtensionTable
from .runtime_session import RuntimeSession
from .states import ExtensionState, RuntimeState


class Fatal(msgspec.Struct, frozen=True):
    """What ended a life, or its init. Only the first one counts."""

    error_type: str
    message: str
    body: bytes | None = None
    """The runtime's own error document, when it sent one."""


class LifeFailed(Exception):
    """The life cannot go on: a process ended, or reported an error."""

    def __init__(self, fatal: Fatal) -> None:
        super().__init__(fatal.error_type)
        self.fatal = fatal


class RegistrationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What register tells an extension about the function."""

    name: str
    version: str
    handler: str
    account_id: str | None


def registration_facts(function: Function) -> RegistrationFacts:
    return RegistrationFacts(
        name=function.name, version=function.version, handler=function.handler, account_id=function.account_id
    )


class ExtensionEvent(msgspec.Struct, frozen=True):
    body: bytes
    headers: tuple[tuple[str, str], ...]
    content_type: str | None


class Control:
    def __init__(self, facts: RegistrationFacts, extensions: ExtensionTable, telemetry: TelemetryHub) -> None:
        self.facts = facts
        self.extensions = extensions
        self.telemetry = telemetry
        self.runtime = RuntimeSession()
        self.invocation: Invocation | None = None
        self.fatal: Fatal | None = None
        self.is_over = False
        self.runtime_ready_at = 0.0
        self.last_extension_next_at = 0.0
        self._events: dict[str, ExtensionEvent] = {}
        self._changed = trio.lowlevel.ParkingLot()

    def changed(self) -> None:
        """Wake everyone who waits for a condition on this life."""
        self._changed.unpark_all()

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await self._changed.park()

    def fail(self, fatal: Fatal) -> None:
        if self.fatal is None:
            self.fatal = fatal
        self.changed()

    def end(self) -> None:
        """The life is over: calls that still wait get no answer."""
        self.is_over = True
        self.changed()

    def send_event(self, extension: Extension, event: ExtensionEvent) -> None:
        """Give an event to an extension: at once if it waits in next, else with its next call of it."""
        self._events[extension.identifier] = event
        if extension.state is ExtensionState.READY:
            extension.move(ExtensionState.RUNNING, named=extension.identifier)
        self.changed()

    async def next_event(self, extension: Extension) -> ExtensionEvent | Refusal | None:
        """The long poll of an extension; `None` when the life ended meanwhile."""
        refusal = extension.move(ExtensionState.READY, named=extension.identifier)
        if refusal is not None:
            return refusal
        self.last_extension_next_at = trio.current_time()
        if extension.identifier in self._events:
            extension.move(ExtensionState.RUNNING, named=extension.identifier)
        self.changed()
        await self.until(lambda: self.is_over or extension.identifier in self._events)
        return self._events.pop(extension.identifier, None)

    async def next_invocation(self) -> Invocation | Refusal | None:
        """The long poll of the runtime; `None` when the life ended meanwhile."""
        refusal = self.runtime.next()
        if refusal is not None:
            return refusal
        if self.runtime.state is RuntimeState.READY:
            self.runtime_ready_at = trio.current_time()
            self.changed()
        await self.until(lambda: self.is_over or self.runtime.state is RuntimeState.RUNNING)
        return None if self.is_over else self.invocation

    def release_runtime(self, invocation: Invocation) -> None:
        self.invocation = invocation
        self.runtime.release(invocation.request.request_id)
        self.changed()


CurrentControl = Callable[[], Control]
"""Gives the life that the APIs serve just now."""
