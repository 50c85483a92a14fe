"""The API key that has to be asked for: resolved beside the function's work, kept fresh, and renewed once an intake refuses it.

Rules of this file:
- Nobody waits for a key but a flush, and that no longer than `first_wait_s`: data without a key stays in its buffers.
- The first source that gives a key is used; one that fails makes room for the next, and all are tried again later.
- A key that no intake has refused is never given up for one of a weaker source.
- Intervals count on the wall clock, which also runs while the sandbox is frozen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import trio

from ddx_core import log
from ddx_core.clock import WallClock, now_ns, ns_per_s
from ddx_core.errors import DdxError
from ddx_core.intake import ApiKey

Fetch = Callable[[], Awaitable[str]]

first_wait_s = 1.0
renewal_wait_s = 3.0
# Five sources, each of which may take two tries of five seconds.
resolve_limit_s = 55.0
first_pause_s = 1.0
longest_pause_s = 300.0
# An intake that refuses a good key (a wrong site, say) must not make every flush ask AWS.
shortest_renewal_s = 60.0


class KeySource(NamedTuple):
    """`variable` names it in messages; `fetch` gives the key's text or raises DdxError."""

    variable: str
    fetch: Fetch


class ResolvedKey:
    """An ApiKeySource. `run` does the asking; `on_key` is told whenever there is another key."""

    def __init__(
        self,
        sources: Sequence[KeySource],
        *,
        reload_interval_s: float | None = None,
        on_key: Callable[[], None] = lambda: None,
        wall_clock: WallClock = now_ns,
    ) -> None:
        self._sources = sources
        self._reload_interval_s = reload_interval_s
        self.on_key = on_key
        self._wall_clock = wall_clock
        self._key: ApiKey | None = None
        self._from = ""
        self._is_refused = False
        self._resolved_ns = 0
        self._refused_ns: int | None = None
        self._wanted = trio.Event()
        self._wanted.set()
        self._settled = trio.Event()

    @property
    def state(self) -> str:
        """For the status page: where the key is from, never the key."""
        return f"from {self._from}" if self._key is not None else "none yet"

    async def get(self) -> ApiKey | None:
        if self._is_stale():
            self._ask()
        if self._key is None:
            with trio.move_on_after(first_wait_s):
                await self._settled.wait()
        return self._key

    async def refused(self, key: ApiKey) -> bool:
        if key == self._key:
            self._is_refused = True
            # All signals are refused at the same time: the first one has it renewed, and all wait for that.
            if not self._wanted.is_set():
                now = self._wall_clock()
                if self._refused_ns is not None and now - self._refused_ns < shortest_renewal_s * ns_per_s:
                    return False
                self._refused_ns = now
                self._ask()
            with trio.move_on_after(renewal_wait_s):
                await self._settled.wait()
        return self._key is not None and key != self._key

    async def run(self) -> None:
        """Resolve whenever it is wanted, until cancelled; a failure is tried again after a growing pause."""
        pause_s = first_pause_s
        while True:
            await self._wanted.wait()
            is_resolved = False
            with trio.move_on_after(resolve_limit_s) as limit:
                is_resolved = await self._resolve()
            if limit.cancelled_caught:
                log.warning("api_key_not_resolved", reason=f"no answer within {resolve_limit_s:g} s")
            self._resolved_ns = self._wall_clock()
            if is_resolved:
                pause_s = first_pause_s
                self._wanted = trio.Event()
                self._settled.set()
                continue
            self._settled.set()
            if self._key is not None:
                # There is one to go on with: it is asked for again when it is due.
                self._wanted = trio.Event()
                continue
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, longest_pause_s)

    def _is_stale(self) -> bool:
        if self._reload_interval_s is None or self._key is None:
            return False
        return self._wall_clock() - self._resolved_ns > self._reload_interval_s * ns_per_s

    def _ask(self) -> None:
        if not self._wanted.is_set():
            self._settled = trio.Event()
            self._wanted.set()

    async def _resolve(self) -> bool:
        for number, source in enumerate(self._sources):
            try:
                text = await source.fetch()
            except DdxError as error:
                reason, tell = str(error), log.warning
            except Exception as error:
                # The last handler of one source. Its text may hold what it was given, so only the type is told.
                reason, tell = type(error).__name__, log.error
            else:
                self._take(ApiKey(text), source.variable)
                return True
            keeps = self._key is not None and source.variable == self._from and not self._is_refused
            is_last = number + 1 == len(self._sources)
            following = "tried again later" if is_last else self._sources[number + 1].variable
            tell(
                "api_key_not_resolved",
                about=source.variable,
                reason=reason,
                next="the key that it gave before is kept" if keeps else following,
            )
            if keeps:
                break
        return False

    def _take(self, key: ApiKey, variable: str) -> None:
        self._is_refused = False
        if key != self._key:
            self._key, self._from = key, variable
            log.debug("api_key_resolved", source=variable)
            self.on_key()
