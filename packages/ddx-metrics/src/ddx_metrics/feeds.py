"""Feeds: where receivers put raw values, a list for each context and rate, until they are folded into a bucket. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from .context import Context


class Feed(msgspec.Struct, gc=False, eq=False):
    """Where a receiver puts the values of one context that were sampled at one rate, in order of arrival.

    `values` stays the same list for as long as the feed is good. (A dict of these is nothing that the garbage collector
    looks into; one of lists would be.)
    """

    context: Context
    rate: float
    values: list[Any]


class Feeds:
    """At most one feed for each context and rate."""

    def __init__(self) -> None:
        self._whole: dict[Context, Feed] = {}
        """Those whose rate is 1, which most are."""
        self._sampled: dict[tuple[Context, float], Feed] = {}
        self._turn: Iterator[Feed] = iter(())

    def get(self, context: Context, rate: float) -> Feed | None:
        return self._whole.get(context) if rate == 1.0 else self._sampled.get((context, rate))

    def get_or_make(self, context: Context, rate: float) -> Feed:
        feed = self.get(context, rate)
        if feed is None:
            feed = Feed(context, rate, [])
            if rate == 1.0:
                self._whole[context] = feed
            else:
                self._sampled[context, rate] = feed
        return feed

    def all(self) -> list[Feed]:
        """A list of its own: feeds may be made and let go of while somebody goes through it."""
        return [*self._whole.values(), *self._sampled.values()]

    def next_waiting(self) -> Feed:
        """One that holds values, by turns. There must be such a one."""
        while True:
            for feed in self._turn:
                if feed.values:
                    return feed
            self._turn = iter(self.all())

    def clear(self) -> None:
        """Let go of all; who kept some must ask for them anew."""
        self._whole.clear()
        self._sampled.clear()
        self._turn = iter(())
