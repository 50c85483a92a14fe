"""What Lambda answers to an extension that asks for its next event. Pure.

Source of the shapes: AWS Lambda Developer Guide, "Lambda Extensions API".
"""

from __future__ import annotations

import msgspec

from ..errors import LifecycleError


class Invoke(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A function invocation begins. `deadline_ms` is the Unix time in ms at which it times out."""

    request_id: str
    deadline_ms: int
    invoked_function_arn: str = ""


class Shutdown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The environment ends. `deadline_ms`: the Unix time in ms at which this process is killed, 0 when not known.

    `reason` is in lower case: spindown, timeout, failure, or whatever else the platform says.
    """

    reason: str = msgspec.field(name="shutdownReason", default="unknown")
    deadline_ms: int = 0


class _NextBody(msgspec.Struct):
    event_type: str = msgspec.field(name="eventType")


_next_body = msgspec.json.Decoder(_NextBody)
_invoke = msgspec.json.Decoder(Invoke)
_shutdown = msgspec.json.Decoder(Shutdown)


def parse_next(body: bytes) -> Invoke | Shutdown:
    """The body of an answer to `next`. Raises LifecycleError for an event type nobody subscribed to, or nonsense."""
    try:
        kind = _next_body.decode(body).event_type
        if kind == "INVOKE":
            return _invoke.decode(body)
        if kind == "SHUTDOWN":
            return _read_shutdown(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise LifecycleError(f"the answer to next makes no sense: {error}") from error
    raise LifecycleError(f"the answer to next has the unknown event type {kind!r}")


def _read_shutdown(body: bytes) -> Shutdown:
    try:
        event = _shutdown.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        # That the environment ends is what matters; a reason or a deadline of an unknown form must not hide it.
        return Shutdown()
    return Shutdown(reason=event.reason.lower(), deadline_ms=event.deadline_ms)
