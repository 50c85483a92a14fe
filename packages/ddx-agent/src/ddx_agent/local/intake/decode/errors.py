"""The two ways in which a body can be unusable."""

from __future__ import annotations

from ddx_core.errors import MalformedInput


class DecodeError(MalformedInput):
    """The bytes are not what their endpoint takes: answered with 400. The text says what and where."""


class TooLarge(DecodeError):
    """More than the endpoint takes, in bytes or in items: answered with 413."""
