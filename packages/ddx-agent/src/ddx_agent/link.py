"""The agent's end of the link to its keeper: registration in, events in, "ready for the next one" out."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import msgspec
import trio

from ddx_agent.agent_process import Frame
from ddx_core import log
from ddx_core.clock import WallClock, now_ns, ns_per_ms
from ddx_core.errors import LifecycleError
from ddx_core.events import Invoke, Shutdown, parse_next
from ddx_core.lifecycle import Registration

heartbeat_s = 0.5
orphan_grace_ms = 1500


class EventSource(Protocol):
    """Where a mode gets its events from."""

    async def next(self) -> Invoke | Shutdown:
        """Say that everything before is done, and wait for the next event."""
        ...


class KeeperLink:
    """Speaks in the frames of `agent_process`. When the keeper has gone, that is a shutdown with little time."""

    def __init__(self, socket: trio.socket.SocketType, *, wall_clock: WallClock = now_ns) -> None:
        self._socket = socket
        self._wall_clock = wall_clock
        self._is_working = False
        self._gone = trio.Event()

    async def registration(self) -> Registration:
        """Wait for the answer to register. What cannot be read of it is told and left out.

        Raises LifecycleError when the keeper has gone.
        """
        frame = await self._receive()
        if frame[:1] != Frame.registration:
            raise LifecycleError("the keeper ended before the registration was known")
        identifier, _, body = frame[1:].partition(b"\0")
        try:
            registration = msgspec.json.decode(body, type=Registration)
        except msgspec.MsgspecError as error:
            log.warning("registration_unreadable", reason=str(error))
            registration = Registration()
        return msgspec.structs.replace(
            registration, identifier=identifier.decode("ascii", "replace"), account_id=registration.account_id or None
        )

    async def next(self) -> Invoke | Shutdown:
        self._is_working = False
        await self._send(Frame.ready)
        while True:
            frame = await self._receive()
            kind, body = frame[:1], frame[1:]
            if kind == Frame.event:
                try:
                    event = parse_next(body)
                except LifecycleError as error:
                    log.warning("event_unreadable", reason=str(error))
                    await self._send(Frame.ready)
                    continue
                self._is_working = True
                return event
            if kind == Frame.next_failed:
                return self._give_up("next_failed", 2000)
            if not kind:
                return self.orphaned()

    async def wait_until_gone(self) -> None:
        """Returns when the keeper has ended, noticed by `next` at once and within a heartbeat while there is work."""
        await self._gone.wait()

    def orphaned(self) -> Shutdown:
        """What the end of the keeper means: Lambda is about to end the environment as well."""
        return self._give_up("keeper_gone", orphan_grace_ms)

    async def telemetry_subscribed(self) -> None:
        await self._send(Frame.subscribed)

    async def beat(self) -> None:
        """Tell the keeper twice a second, while there is work, that this process is alive."""
        while True:
            await trio.sleep(heartbeat_s)
            if self._is_working:
                await self._send(Frame.heartbeat)

    def close(self) -> None:
        self._socket.close()

    def _give_up(self, reason: str, within_ms: int) -> Shutdown:
        self._is_working = True
        return Shutdown(reason=reason, deadline_ms=self._wall_clock() // ns_per_ms + within_ms)

    async def _send(self, frame: bytes) -> None:
        try:
            await self._socket.send(frame)
        except OSError as error:
            log.debug("keeper_unreachable", error=error.strerror)
            self._gone.set()

    async def _receive(self) -> bytes:
        frame = b""
        with suppress(OSError):
            frame = await self._socket.recv(65536)
        if not frame:
            self._gone.set()
        return frame
