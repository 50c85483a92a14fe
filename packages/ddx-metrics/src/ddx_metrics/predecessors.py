"""Predecessors: of the open bucket, the sets and histograms that were taken, for those that will come after them. Pure."""

from __future__ import annotations

from .accumulate import Cumulative
from .context import Context


class Predecessors:
    """The latest one of each context, until its successor is made or the bucket ends. `size`: roughly their memory, in bytes."""

    def __init__(self) -> None:
        self._by_context: dict[Context, Cumulative] = {}
        self.size = 0

    def put(self, context: Context, values: Cumulative) -> None:
        self.pop(context)
        self._by_context[context] = values
        self.size += context.size + values.size

    def pop(self, context: Context) -> Cumulative | None:
        values = self._by_context.pop(context, None)
        if values is not None:
            self.size -= context.size + values.size
        return values

    def clear(self) -> None:
        self._by_context.clear()
        self.size = 0
