"""The errors of ddx: whose fault it was, and whether another try can help."""

from __future__ import annotations


class DdxError(Exception):
    """Anything that ddx raises on purpose."""


class ConfigError(DdxError):
    """A setting cannot be used; the text names the variable and the accepted form, never a secret value."""


class MalformedInput(DdxError):
    """A peer's bytes made no sense: a 4xx answer, or a counted drop."""


class LifecycleError(DdxError):
    """The Lambda APIs refused a request, or gave an answer that makes no sense."""

    def __init__(self, message: str, *, status: int | None = None, error_type: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class Unavailable(DdxError):
    """A payload could not be handed to an intake, and another try is worth it later: out of time, of attempts, or of a usable
    API key. (What an intake refuses for good is no error but an Outcome.)

    `maybe_delivered`: an attempt may have arrived all the same. `attempted` is false when nothing was sent at all.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        maybe_delivered: bool = False,
        attempted: bool = True,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.maybe_delivered = maybe_delivered
        self.attempted = attempted
