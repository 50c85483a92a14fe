"""HTTP/2 without the stalls of httpcore's connection.

httpcore (1.0) reads for all streams of a connection in turn. Two cases make a request wait for bytes that never come, up to
its time limit:

- The window that a sender waits for has been opened by what another stream has read, together with the last answer that
  was due. The sender, whose turn it is now, reads on although it could send.
- The intake answers before it has the whole body (413), and opens no window for the rest.

Rules of this file:
- It is the only one that knows names which httpcore does not publish. Where they are not as expected, there is no HTTP/2.
- It is loaded at the first endpoint that may speak HTTP/2.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

_names = ("_wait_for_outgoing_flow", "_read_incoming_data", "_send_request_body", "_receive_events")


class _Answered(Exception):
    """The answer is here before the body was sent."""


@cache
def prepare_http2() -> bool:
    """Put the sound connection in the place of httpcore's, once. False: HTTP/2 is better not offered."""
    try:
        module: Any = import_module("httpcore._async.http2")
        plain: Any = module.AsyncHTTP2Connection
        if not all(hasattr(plain, name) for name in _names):
            return False
    except (ImportError, AttributeError):
        return False
    module.AsyncHTTP2Connection = _sound(plain)
    return True


def _sound(plain: Any) -> type:
    def window(self: Any, stream_id: int) -> int:
        return min(self._h2_state.local_flow_control_window(stream_id), self._h2_state.max_outbound_frame_size)

    def is_answered(self: Any, stream_id: int) -> bool:
        return any(type(event).__name__ == "ResponseReceived" for event in self._events.get(stream_id, ()))

    async def wait_for_outgoing_flow(self: Any, request: Any, stream_id: int) -> int:
        waiting = self.__dict__.setdefault("_ddx_waiting", {})
        waiting[id(request)] = stream_id
        try:
            while not is_answered(self, stream_id):
                if flow := window(self, stream_id):
                    return flow
                await self._receive_events(request)
        finally:
            del waiting[id(request)]
        raise _Answered

    async def read_incoming_data(self: Any, request: Any) -> list[Any]:
        # Called when it is this request's turn to read. What it waits for may have come meanwhile.
        stream_id = self.__dict__.get("_ddx_waiting", {}).get(id(request))
        if stream_id is not None and (is_answered(self, stream_id) or window(self, stream_id)):
            return []
        events: list[Any] = await plain._read_incoming_data(self, request)
        return events

    async def send_request_body(self: Any, request: Any, stream_id: int) -> None:
        try:
            await plain._send_request_body(self, request, stream_id)
        except Exception:
            if not is_answered(self, stream_id):
                raise
            # The answer says more than the failure. Our half of the stream stays open: the connection takes no further one.
            self._used_all_stream_ids = True

    return type(
        "SoundHttp2Connection",
        (plain,),
        {
            "_wait_for_outgoing_flow": wait_for_outgoing_flow,
            "_read_incoming_data": read_incoming_data,
            "_send_request_body": send_request_body,
        },
    )
