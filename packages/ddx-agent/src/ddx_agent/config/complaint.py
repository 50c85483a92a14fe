"""Complaint: a value that could not be used."""

from __future__ import annotations

import msgspec


class Complaint(msgspec.Struct, frozen=True):
    """Which variable or key of datadog.yaml, what is wrong with it (never its value), and what is used instead."""

    variable: str
    problem: str
    used_instead: str
    is_severe: bool = False
    """To be told as an error: what the user asked for to protect data is not in force."""

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem}; {self.used_instead}"
