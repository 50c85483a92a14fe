"""The embedded intake as a server: Datadog's endpoints, the scripted faults, and queries under `/ddx`.

Rules of this file:
- Whatever arrives is answered or hung up on as the script says; nothing a client sends ends the server.
- Who has an answer can ask the store: the request is in it, or is put into it before the store tells anything.
- A large body is read in another thread, after its answer: the platform whose function is being timed shares this one.
"""

from __future__ import annotations

import errno
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from ddx_core import log
from ddx_core.http import (
    Handler,
    Hangup,
    Limits,
    Oversize,
    Request,
    Response,
    Route,
    Routes,
    open_tcp_listener,
    serve_http,
)

from ..groups import only
from ..ports.holders import listen_error
from .endpoints import Endpoint, anything_else, endpoints
from .items import ReceivedRequest
from .query import control_routes
from .reception import Received, receive
from .script import Action, Answer, Script, ScriptChange, ScriptLike
from .store import Store, StoreLimits

T = TypeVar("T")

garbage_bytes: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is not HTTP \xff\xfe\r\n\r\n"

_most_timed: Final = 1000
"""Timed parts of a script waiting to be started, which happens at once: nobody has so many."""

_most_late_bytes: Final = 64 << 20
"""Answers wait while bodies of more than this have yet to be read."""

_limits = Limits(max_connections=4096, body_s=60.0)


class Intake:
    """A running intake, or one about to run (`serve_intake`). Its methods are called on the Trio thread."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        script: Script | ScriptLike | None = None,
        store: Store,
        keep_spans: bool = True,
        on_request: Callable[[ReceivedRequest], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        """The port in use once it is served; before, the one asked for (0: any)."""
        self.store = store
        self.script = script if isinstance(script, Script) else Script(script or ())
        self._keep_spans = keep_spans
        self._on_request = on_request
        self._arrival = trio.Event()
        self._fell_behind = trio.Event()
        self._wanted_up = True
        self._turned = trio.Event()
        self._is_up = False
        self._serving = trio.CancelScope()
        timed = trio.open_memory_channel[tuple[Callable[[float], Awaitable[None]], float]](_most_timed)
        self._timed, self._timed_in = timed

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def wait_for(self, predicate: Callable[[Store], T]) -> T:
        """Wait until `predicate(store)` is truthy, and return that; looked at again after each request.

        Bound it with a cancel scope: `with trio.fail_after(5): await intake.wait_for(lambda store: store.logs())`.
        """
        while True:
            arrival = self._arrival
            await self._caught_up()
            if found := predicate(self.store):
                await trio.lowlevel.checkpoint()
                return found
            await arrival.wait()

    async def down(self) -> None:
        """Close the listener and every connection; from here on connections are refused, until `up`."""
        self._wanted_up = False
        self._serving.cancel()
        await self._wait_until(up=False)

    async def up(self) -> None:
        """Listen again, on the same port. Returns once connections are taken."""
        self._wanted_up = True
        self._turn()
        await self._wait_until(up=True)

    def change_script(self, change: ScriptChange) -> None:
        """Apply what came over HTTP or from the command line; what is timed runs while the intake is served."""
        if change.answers is not None:
            self.script.replace(change.answers)
        if change.refused_keys is not None:
            self.script.refused_keys = set(change.refused_keys)
        if change.require_key is not None:
            self.script.require_key = change.require_key
        if change.down is not None:
            self.script.resetting = change.down
        if change.down_s is not None:
            self._timed.send_nowait((self._reset_for, change.down_s))
        if change.refuse_s is not None:
            self._timed.send_nowait((self._refuse_for, change.refuse_s))

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, with pauses in which it is down. Raises OSError when the port cannot be bound."""
        try:
            listener = await open_tcp_listener(self.host, self.port)
        except OSError as error:
            raise listen_error(error, self.host, self.port, "the intake") from error
        self.port = listener.socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_timed)
            nursery.start_soon(self._read_late)
            routes = self._routes()
            announced = False
            while True:
                self._serving = trio.CancelScope()
                with self._serving:
                    async with trio.open_nursery() as serving:
                        await serving.start(_serve, listener, routes)
                        self._is_up = True
                        self._turn()
                        if not announced:
                            task_status.started()
                            announced = True
                self._is_up = False
                self._turn()
                listener = await self._wait_down()

    async def _wait_down(self) -> trio.SocketListener:
        """Wait until the intake is wanted again; the port is held meanwhile, lest another process be given it."""
        holder = trio.socket.socket(trio.socket.AF_INET6 if ":" in self.host else trio.socket.AF_INET)
        try:
            holder.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
            # Bound and not listening: connections are refused.
            await holder.bind((self.host, self.port))
            while not self._wanted_up:
                await self._turned.wait()
            try:
                return await open_tcp_listener(self.host, self.port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                # Some systems let nobody else bind while the holder does.
                holder.close()
                return await open_tcp_listener(self.host, self.port)
        finally:
            holder.close()

    async def _wait_until(self, *, up: bool) -> None:
        while self._is_up is not up:
            await self._turned.wait()

    def _turn(self) -> None:
        """Wake whoever waits for a change of state."""
        self._turned.set()
        self._turned = trio.Event()

    async def _run_timed(self) -> None:
        async with trio.open_nursery() as nursery:
            async for action, seconds in self._timed_in:
                nursery.start_soon(action, seconds)

    async def _reset_for(self, seconds: float) -> None:
        self.script.resetting = True
        await trio.sleep(seconds)
        self.script.resetting = False

    async def _refuse_for(self, seconds: float) -> None:
        # The answer to who asked for this leaves first.
        await trio.sleep(0.05)
        await self.down()
        await trio.sleep(seconds)
        await self.up()

    def _routes(self) -> Routes:
        control = control_routes(self.store, self._caught_up, self.script, self.change_script)
        receiving = [
            Route(("*",), endpoint.path, self._handler(endpoint), endpoint.wire_limit, Oversize.DISCARD)
            for endpoint in (*endpoints, anything_else)
        ]
        return Routes([*control, *receiving])

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def handle(request: Request) -> Response:
            received = receive(
                request, endpoint, self.script, self.store, now_s=time.time(), keep_spans=self._keep_spans
            )
            if received.late_bytes or not self.store.late.is_empty:
                await self._keep_later(received)
            else:
                self._announce(received.keep())
            return await _perform(received.answer, received.response)

        return handle

    async def _keep_later(self, received: Received) -> None:
        token = trio.lowlevel.current_trio_token()

        def keep() -> None:
            try:
                record = received.keep()
            except Exception as error:
                # As in a handler: what one client sends must not end the intake for all.
                log.error("late_request_failed", exc_info=error, consequence="it is not in the store")
                return
            token.run_sync_soon(self._announce, record)

        self.store.late.put_off(keep, received.late_bytes)
        self._fell_behind.set()
        if self.store.late.bytes > _most_late_bytes:
            await self._caught_up()

    async def _read_late(self) -> None:
        while True:
            await self._fell_behind.wait()
            self._fell_behind = trio.Event()
            await self._caught_up()

    async def _caught_up(self) -> None:
        if not self.store.late.is_empty:
            await trio.to_thread.run_sync(self.store.late.catch_up)

    def _announce(self, record: ReceivedRequest) -> None:
        self._arrival.set()
        self._arrival = trio.Event()
        if self._on_request is not None:
            self._on_request(record)


@asynccontextmanager
async def open_intake(
    host: str = "127.0.0.1",
    port: int = 0,
    script: Script | ScriptLike | None = None,
    db: str = ":memory:",
    *,
    keep_spans: bool = True,
    limits: StoreLimits | None = None,
    on_request: Callable[[ReceivedRequest], None] | None = None,
) -> AsyncGenerator[Intake, None]:
    """An intake that serves for the length of the block.

    `keep_spans=False` counts spans without reading them, for loads at which only their number matters. `on_request` is
    called, synchronously, with each request once it is in the store. What the block raises comes out as it is, not
    wrapped in a group. Raises OSError when the port cannot be bound, StoreError when `db` is no database of ours.
    """
    store = Store(db, limits=limits)
    intake = Intake(host=host, port=port, script=script, store=store, keep_spans=keep_spans, on_request=on_request)
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(intake.serve)
            yield intake
            nursery.cancel_scope.cancel("the block has ended")
    except BaseExceptionGroup as group:
        failure = only(group)
    finally:
        store.close()
    if failure is not None:
        raise failure


async def _serve(
    listener: trio.SocketListener, routes: Routes, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    await serve_http([listener], routes, limits=_limits, task_status=task_status)


async def _perform(answer: Answer, response: Response) -> Response:
    """Send the answer in the way the script wants it."""
    if answer.action is Action.HANG:
        await trio.sleep_forever()
    if answer.action is Action.SLOW:
        await trio.sleep(answer.seconds)
    if (hangup := _hangup(answer.action, response)) is not None:
        raise hangup
    return response


def _hangup(action: Action, response: Response) -> Hangup | None:
    match action:
        case Action.RESET | Action.RESET_AFTER_READ:
            return Hangup()
        case Action.CLOSE:
            return Hangup(reset=False)
        case Action.GARBAGE:
            return Hangup(garbage_bytes, reset=False)
        case Action.TRUNCATED:
            head = f"HTTP/1.1 {response.status} Cut Short\r\nContent-Length: {len(response.body) + 100}\r\n\r\n"
            return Hangup(head.encode() + response.body, reset=False)
        case _:
            return None
