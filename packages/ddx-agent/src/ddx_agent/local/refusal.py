"""How the rules of the Lambda APIs say no: a value in place of what was asked for. `apis/answers.py` makes a response of it."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Why a call is refused. A refused call has changed no state."""

    status: int
    """HTTP's."""
    error_type: str
    message: str
