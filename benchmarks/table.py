"""What a benchmark found, as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Options:
    """`quick`: as little as still runs every line, for the tests; such numbers say nothing. `peer`: its binary, if there."""

    quick: bool = False
    peer: Path | None = None

    def pick(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual


@dataclass(frozen=True)
class Row:
    """One number of ours, beside what it is compared with. The target is a most, or with `at_least` a least."""

    what: str
    unit: str
    ours: float
    beside: float | None = None
    beside_name: str = "peer"
    target: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        return self.ours / self.beside if self.beside else None

    @property
    def is_met(self) -> bool | None:
        if self.target is None:
            return None
        return self.ours >= self.target if self.at_least else self.ours <= self.target


@dataclass(frozen=True)
class Table:
    """`taken_percent`: how much of the machine's CPU time its host gave to others while this was measured."""

    title: str
    rows: Sequence[Row] = field(default_factory=tuple[Row, ...])
    taken_percent: float = 0.0

    @property
    def remark(self) -> str | None:
        if self.taken_percent < _worth_a_remark_percent:
            return None
        taken = f"{number(self.taken_percent)} % of the machine's CPU time"
        return f"Its host gave {taken} to others meanwhile: such numbers need not hold."

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "taken_percent": self.taken_percent,
            "rows": [{**asdict(row), "ratio": row.ratio, "is_met": row.is_met} for row in self.rows],
        }


_worth_a_remark_percent: Final = 2.0
_head = ("", "ddx", "beside", "ratio", "target")


def _cells(row: Row) -> tuple[str, ...]:
    beside = "" if row.beside is None else f"{number(row.beside)} ({row.beside_name})"
    ratio = "" if row.ratio is None else f"{number(row.ratio)} ×"
    target = ""
    if row.target is not None:
        sign = "≥" if row.at_least else "≤"
        target = f"{sign} {number(row.target)}{'' if row.is_met else ', **missed**'}"
    return f"{row.what}, {row.unit}", number(row.ours), beside, ratio, target


def number(value: float) -> str:
    """Three figures, which is more than such measurements carry."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"


def as_text(table: Table) -> str:
    lines = [_head, *(tuple(cell.replace("**", "") for cell in _cells(row)) for row in table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_head))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    title = table.title if table.remark is None else f"{table.title}. {table.remark}"
    return "\n".join([title, *(f"  {line}" for line in shown)])


def as_markdown(table: Table) -> str:
    remark = [] if table.remark is None else [table.remark, ""]
    lines = [f"### {table.title}", "", *remark, f"| {' | '.join(_head)} |", "|---|--:|--:|--:|--:|"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in table.rows)])


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of them lie; 0.5 is the median."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
