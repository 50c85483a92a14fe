"""What bounds a server: the limits that its owner sets, and what its connections share and count together."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

import msgspec
import trio

crowded_idle_s: Final = 1.0
"""How long a connection may be idle while others wait for its place."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one server. Times are in seconds, sizes in bytes.

    `header_bytes` bounds what is kept of a header that is not complete, `header_s` is from its first byte to its end. `body_s`
    is for a whole body, `answer_s` for a whole answer or for each chunk of a stream; between requests a connection may be idle
    for `idle_s`. Of a body that is not taken `discard_bytes` are read away, for `body_s` at most. `bodies_bytes` bounds the
    bodies of all requests at hand together; past it clients are told to come back (429), one body alone always may. A server
    that is cancelled takes no more requests; those whose body it has read get `grace_s` to be answered.
    """

    max_connections: int = 256
    header_bytes: int = 65536
    header_s: float = 5.0
    body_s: float = 20.0
    idle_s: float = 3600.0
    answer_s: float = 20.0
    discard_bytes: int = 256 << 20
    bodies_bytes: int = 128 << 20
    grace_s: float = 0.25


class Activity:
    """The requests that a server has begun to receive and not yet answered: whoever flushes may wait for them a moment."""

    def __init__(self) -> None:
        self._requests = 0
        self._idle: trio.Event | None = None

    @property
    def requests(self) -> int:
        return self._requests

    async def wait_idle(self) -> None:
        """Until no request is half received or half answered."""
        if not self._requests:
            await trio.lowlevel.checkpoint()
            return
        if self._idle is None:
            self._idle = trio.Event()
        await self._idle.wait()

    def begin(self) -> None:
        self._requests += 1

    def end(self) -> None:
        self._requests -= 1
        if not self._requests and self._idle is not None:
            self._idle.set()
            self._idle = None


class Bodies:
    """The bytes of the bodies of all requests at hand."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0


class Places:
    """Room for so many connections. Those that have been idle for long give way when others wait for a place."""

    def __init__(self, count: int) -> None:
        self._limiter = trio.CapacityLimiter(count)
        self._idle: dict[trio.CancelScope, float] = {}
        self._waiting = 0

    async def take(self, place: object) -> None:
        """Wait for a free place, which is `place`'s until it is released. The longest idle connection gives up its own."""
        if self._limiter.available_tokens:
            self._limiter.acquire_on_behalf_of_nowait(place)
            return
        self._waiting += 1
        if self._idle:
            scope, since = next(iter(self._idle.items()))
            del self._idle[scope]
            scope.deadline = min(scope.deadline, since + crowded_idle_s)
        try:
            await self._limiter.acquire_on_behalf_of(place)
        finally:
            self._waiting -= 1

    def release(self, place: object) -> None:
        self._limiter.release_on_behalf_of(place)

    def idle(self, seconds: float) -> _Idle:
        """A scope for what an idle connection waits for."""
        now = trio.current_time()
        deadline = now + (min(seconds, crowded_idle_s) if self._waiting else seconds)
        return _Idle(self._idle, trio.CancelScope(deadline=deadline), now)


class Grace:
    """The requests that were read and are being answered: the end of the server leaves them a moment."""

    def __init__(self) -> None:
        self._in_hand: set[trio.CancelScope] = set()
        self._nothing_in_hand = trio.Event()
        self._is_guarded = False

    @contextmanager
    def request_in_hand(self) -> Generator[None]:
        """Round what is done with a request that was read: where a server gives grace, its end does not cut it short."""
        with trio.CancelScope(shield=self._is_guarded) as scope:
            self._in_hand.add(scope)
            try:
                yield
            finally:
                self._in_hand.discard(scope)
                if not self._in_hand:
                    self._nothing_in_hand.set()

    async def give(self, seconds: float, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled; what is in hand then has so much time to end."""
        self._is_guarded = seconds > 0
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._is_guarded = False
            if self._in_hand:
                self._nothing_in_hand = trio.Event()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + seconds):
                    await self._nothing_in_hand.wait()
            for scope in self._in_hand:
                scope.shield = False


class Bounds:
    """What the connections of one server share: its limits, and all that is counted together."""

    def __init__(self, limits: Limits | None = None, activity: Activity | None = None) -> None:
        self.limits = limits or Limits()
        self.activity = activity or Activity()
        self.bodies = Bodies(self.limits.bodies_bytes)
        self.places = Places(self.limits.max_connections)
        self.grace = Grace()


class Share:
    """What the request at hand of one connection adds to what its server counts."""

    __slots__ = ("_activity", "_bodies", "_body_bytes", "_in_request")

    def __init__(self, bounds: Bounds) -> None:
        self._activity = bounds.activity
        self._bodies = bounds.bodies
        self._in_request = False
        self._body_bytes = 0

    def begin_request(self) -> None:
        if not self._in_request:
            self._in_request = True
            self._activity.begin()

    def end_request(self) -> None:
        self.let_go_of_body()
        if self._in_request:
            self._in_request = False
            self._activity.end()

    def can_hold(self, size: int) -> bool:
        """Whether so many more bytes of this request's body fit the bound. One body alone always may come."""
        bodies = self._bodies
        others = bodies.bytes - self._body_bytes
        return not others or bodies.bytes + size <= bodies.max_bytes

    def hold(self, size: int) -> bool:
        """Count bytes of this request's body. False: all bodies together have become too much."""
        fits = self.can_hold(size)
        self._body_bytes += size
        self._bodies.bytes += size
        return fits

    def let_go_of_body(self) -> None:
        self._bodies.bytes -= self._body_bytes
        self._body_bytes = 0


class _Idle:
    """A cancel scope that is on a list while it is open."""

    __slots__ = ("_now", "_open", "_scope")

    def __init__(self, listed: dict[trio.CancelScope, float], scope: trio.CancelScope, now: float) -> None:
        self._open = listed
        self._scope = scope
        self._now = now

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._open[self._scope] = self._now

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._open.pop(self._scope, None)
        return self._scope.__exit__(kind, error, traceback)
