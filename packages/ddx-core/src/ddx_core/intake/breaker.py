"""Breaker: whether anyone should still wait for an endpoint. Pure.

It opens after a number of flushes in a row that could deliver nothing. While it is open, blocking flushes pass the endpoint
by and background flushes send one payload as a probe; the first delivery closes it.
"""

from __future__ import annotations

from typing import Final

opens_after: Final = 2


class Breaker:
    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures = 0

    @property
    def is_open(self) -> bool:
        return self._failures >= opens_after

    def failed(self) -> None:
        self._failures += 1

    def delivered(self) -> None:
        self._failures = 0
