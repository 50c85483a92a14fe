"""AwsError: why AWS gave nothing. Its text never holds what was sent or answered."""

from __future__ import annotations

from ddx_core.errors import DdxError


class AwsError(DdxError):
    """`kind` is AWS's own name of the error where there is one. `may_pass`: trying again can help."""

    def __init__(self, text: str, *, kind: str = "", status: int | None = None, may_pass: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.status = status
        self.may_pass = may_pass
