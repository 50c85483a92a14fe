"""All extensions of one sandbox life, and every rule about who may register, call next, or report an error. Pure.

Calls return what was asked for or a `Refusal`; a refused call changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from uuid import UUID

import msgspec

from ..quotas import max_extensions
from ..refusal import Refusal
from .states import EXTENSION_MOVES, ExtensionState

feature_account_id = "accountId"

_error_type_form = re.compile(r"Extension\.[A-Z][a-zA-Z]+")


class Kind(Enum):
    EXTERNAL = "external"
    INTERNAL = "internal"


class Extension:
    """One extension: a process that the platform launched (external), or a part of the runtime (internal)."""

    def __init__(self, identifier: str, name: str | None, kind: Kind) -> None:
        self.identifier = identifier
        self.name = name
        """`None`: launched by a command whose extension name is learnt when it registers."""
        self.kind = kind
        self.state = ExtensionState.STARTED
        self.events: tuple[str, ...] = ()
        self.error_type: str | None = None

    @property
    def has_registered(self) -> bool:
        return self.state not in (ExtensionState.STARTED, ExtensionState.LAUNCH_ERROR)

    def wants(self, event: str) -> bool:
        return event in self.events

    def move(self, to: ExtensionState, *, named: str) -> Refusal | None:
        if (self.state, to) not in EXTENSION_MOVES:
            return Refusal(
                403,
                "Extension.InvalidExtensionState",
                f"State transition from {self.state} to {to} failed for extension {named}. "
                "Error: State transition is not allowed",
            )
        self.state = to
        return None


class _RegisterBody(msgspec.Struct):
    events: list[str] | None = None
    configurationKeys: list[object] | None = None


_decode_register = msgspec.json.Decoder(_RegisterBody).decode


class ExtensionTable:
    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.extensions: list[Extension] = []
        self.registration_is_open = True

    def launch(self, name: str | None) -> Extension | Refusal:
        """Note that an external extension's process is about to start."""
        if len(self.extensions) >= max_extensions:
            return Refusal(403, "Extension.TooManyExtensions", f"Extension limit ({max_extensions}) reached")
        extension = Extension(self._new_id(), name, Kind.EXTERNAL)
        self.extensions.append(extension)
        return extension

    def register(self, name: str, body: bytes) -> Extension | Refusal:
        if not name:
            return Refusal(403, "Extension.InvalidExtensionName", "Empty extension name")
        try:
            wanted = _decode_register(body)
        except msgspec.DecodeError as error:
            return Refusal(403, "InvalidRequestFormat", str(error))
        if wanted.configurationKeys:
            return Refusal(403, "InvalidRequestFormat", "configurationKeys are deprecated; use events only")
        events = tuple(wanted.events or ())
        launched = self._launched(name)
        if launched is not None:
            return self._register_external(launched, name, events)
        return self._register_internal(name, events)

    def _launched(self, name: str) -> Extension | None:
        external = [extension for extension in self.extensions if extension.kind is Kind.EXTERNAL]
        for extension in external:
            if extension.name == name:
                return extension
        # The runtime starts only after every external extension has registered, so an unknown name that comes while
        # one of them is nameless can only be that one.
        return next((extension for extension in external if extension.name is None), None)

    def _register_external(self, extension: Extension, name: str, events: tuple[str, ...]) -> Extension | Refusal:
        for event in events:
            if event not in ("INVOKE", "SHUTDOWN"):
                return Refusal(403, "Extension.InvalidEventType", f"{event}: event type is not supported")
        refusal = extension.move(ExtensionState.REGISTERED, named=name)
        if refusal is not None:
            return refusal
        extension.name = name
        extension.events = events
        return extension

    def _register_internal(self, name: str, events: tuple[str, ...]) -> Extension | Refusal:
        for event in events:
            if event != "INVOKE":
                reason = "not supported for internal extensions" if event == "SHUTDOWN" else "not supported"
                return Refusal(403, "Extension.InvalidEventType", f"{event}: event type is {reason}")
        if not self.registration_is_open:
            return Refusal(403, "Extension.RegistrationClosed", "Extension registration closed already")
        if any(extension.name == name for extension in self.extensions):
            return Refusal(403, "Extension.InvalidExtensionState", "Extension with this name already registered")
        if len(self.extensions) >= max_extensions:
            return Refusal(403, "Extension.TooManyExtensions", f"Extension limit ({max_extensions}) reached")
        extension = Extension(self._new_id(), name, Kind.INTERNAL)
        extension.events = events
        extension.state = ExtensionState.REGISTERED
        self.extensions.append(extension)
        return extension

    def find(self, identifier: str | None, *, unknown: str = "Unknown extension {}") -> Extension | Refusal:
        """The extension that an identifier header names."""
        if not identifier:
            return Refusal(403, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        try:
            wanted = str(UUID(identifier))
        except ValueError:
            return Refusal(403, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
        for extension in self.extensions:
            if extension.identifier == wanted and extension.has_registered:
                return extension
        return Refusal(403, "Extension.UnknownExtensionIdentifier", unknown.format(wanted))

    def fail(self, extension: Extension, to: ExtensionState, error_type: str | None) -> Refusal | None:
        """Handle init/error or exit/error. Only the first report's type counts."""
        if not error_type:
            return Refusal(403, "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
        refusal = extension.move(to, named=extension.identifier)
        if refusal is None and extension.error_type is None:
            extension.error_type = error_type if _error_type_form.fullmatch(error_type) else f"Extension.{to}"
        return refusal

    def exited(self, extension: Extension, exit_code: int, *, in_shutdown: bool) -> None:
        """A process has ended. Outside shutdown its state stays: the crash is the platform's to report."""
        if in_shutdown and extension.state in (ExtensionState.READY, ExtensionState.RUNNING):
            extension.state = ExtensionState.EXITED if exit_code == 0 else ExtensionState.SHUTDOWN_FAILED

    def all_registered(self) -> bool:
        return all(extension.has_registered for extension in self.extensions)

    def all_ready(self) -> bool:
        """Every registered extension waits in next (or has no reason to: it will never be woken for an INVOKE)."""
        return all(extension.state is not ExtensionState.REGISTERED for extension in self.extensions)

    def all_done(self) -> bool:
        """No extension still works on an invocation."""
        return all(extension.state is not ExtensionState.RUNNING for extension in self.extensions)

    def wanting(self, event: str) -> Sequence[Extension]:
        return [extension for extension in self.extensions if extension.wants(event)]

    def external(self) -> Sequence[Extension]:
        return [extension for extension in self.extensions if extension.kind is Kind.EXTERNAL]
