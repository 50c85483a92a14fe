"""An intake behind real TLS that speaks HTTP/1.1 or HTTP/2, whichever ALPN settles on, and breaks off by script.

`ScriptedIntake` speaks plain HTTP through ddx's own server; here the wire itself goes wrong, so h11 and h2 are driven by hand.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import h11
import trio
import trustme

from ddx_core.http import open_tcp_listener


@dataclass(frozen=True)
class Answer:
    """`with_goaway`: the answer is the last on its connection, and the same packet says so. `at_once`: it comes at the
    headers of the request (HTTP/2)."""

    status: int = 202
    body: bytes = b"{}"
    with_goaway: bool = False
    at_once: bool = False


@dataclass(frozen=True)
class Cut:
    """Reset the connection once so many bytes of the body have come; None: once the request is complete."""

    after: int | None = None


@dataclass(frozen=True)
class Goaway:
    """HTTP/2: end the connection, having taken this request (`taken`) or for certain not."""

    taken: bool = False


@dataclass(frozen=True)
class Reset:
    """HTTP/2: end this one stream, at its headers or once it is complete."""

    code: int = 2
    at_once: bool = False


hang = "hang"
late = "late"
Step = int | str | Answer | Cut | Goaway | Reset


@dataclass
class Received:
    version: str
    connection: int
    headers: dict[str, str]
    path: str = ""
    step: Step = 202
    body: bytes = b""
    is_complete: bool = False
    stream_id: int = 0


class _CutOff(Exception):
    """The connection is to be reset."""


@dataclass
class TlsIntake:
    """Answers the first request by the first step, and so on; then `otherwise`.

    `hold_until`: no answer leaves before so many requests are complete. `late_window`: the HTTP/2 window of a connection is
    opened again when it is used up, in one packet with the answers of the step `late`.
    """

    script: list[Step] = field(default_factory=list[Step])
    otherwise: Step = 202
    authority: trustme.CA = field(default_factory=trustme.CA)
    host: str = "127.0.0.1"
    certificate: trustme.LeafCert | None = None
    http2: bool = True
    max_streams: int = 100
    hold_until: int = 0
    late_window: bool = False
    max_version: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    requests: list[Received] = field(default_factory=list[Received])
    connections: int = 0
    failed_handshakes: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def complete(self) -> list[Received]:
        return [request for request in self.requests if request.is_complete]

    @property
    def client_tls(self) -> ssl.SSLContext:
        """What a client needs that trusts this intake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority: Any = self.authority
        authority.configure_trust(context)
        return context

    def then(self, *steps: Step) -> None:
        self.script.extend(steps)

    async def start(self, nursery: trio.Nursery) -> TlsIntake:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate: Any = self.certificate or self.authority.issue_cert(self.host)
        certificate.configure_cert(context)
        context.set_alpn_protocols(["h2", "http/1.1"] if self.http2 else ["http/1.1"])
        context.maximum_version = self.max_version

        async def serve(stream: trio.SocketStream) -> None:
            tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            try:
                await self._serve(tls)
            except (
                trio.BrokenResourceError,
                trio.ClosedResourceError,
                h11.RemoteProtocolError,
                h2.exceptions.ProtocolError,
            ):
                pass
            except _CutOff:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            finally:
                await trio.aclose_forcefully(tls)

        listener = await open_tcp_listener("127.0.0.1", 0)
        self.port = listener.socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, serve, [listener])
        return self

    async def _serve(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError):
            self.failed_handshakes += 1
            # Servers tell why with a TLS alert; Trio leaves it lying.
            outgoing: Any = getattr(stream, "_outgoing", None)
            await stream.transport_stream.send_all(outgoing.read())
            raise
        self.connections += 1
        if stream.selected_alpn_protocol() == "h2":
            await _Http2(self, stream, self.connections).serve()
        else:
            await self._serve_http1(stream, self.connections)

    def begin(self, request: Received) -> Received:
        request.step = self.script.pop(0) if self.script else self.otherwise
        self.requests.append(request)
        return request

    async def _serve_http1(self, stream: Any, number: int) -> None:
        connection = h11.Connection(h11.SERVER)
        request = Received("HTTP/1.1", number, {})
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.Request):
                headers = {name.decode(): value.decode() for name, value in event.headers}
                request = self.begin(Received("HTTP/1.1", number, headers, event.target.decode()))
            elif isinstance(event, h11.Data):
                request.body += bytes(event.data)
                if isinstance(request.step, Cut) and len(request.body) >= (request.step.after or 1 << 60):
                    raise _CutOff
            elif isinstance(event, h11.EndOfMessage):
                request.is_complete = True
                step = request.step
                if isinstance(step, Cut | Goaway | Reset):
                    raise _CutOff
                if step == hang:
                    await trio.sleep_forever()
                answer = step if isinstance(step, Answer) else Answer(int(step))
                head = h11.Response(status_code=answer.status, headers=[("Content-Length", str(len(answer.body)))])
                wire = connection.send(head) or b""
                wire += connection.send(h11.Data(data=answer.body)) or b""
                wire += connection.send(h11.EndOfMessage()) or b""
                await stream.send_all(wire)
                connection.start_next_cycle()
            else:
                return


class _Http2:
    def __init__(self, intake: TlsIntake, stream: trio.SSLStream[trio.SocketStream], number: int) -> None:
        self._intake = intake
        self._stream = stream
        self._number = number
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._streams: dict[int, Received] = {}
        self._held: list[Received] = []
        self._late: list[Received] = []

    async def serve(self) -> None:
        self._h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._intake.max_streams}
        )
        self._h2.initiate_connection()
        await self._send()
        while data := await self._stream.receive_some(65536):
            for event in self._h2.receive_data(bytes(data)):
                self._on_event(event)
            if self._held and len(self._intake.complete) >= self._intake.hold_until:
                for request in self._held:
                    self._answer(request)
                self._held.clear()
            if self._intake.late_window and self._h2.inbound_flow_control_window <= 0:
                self._h2.increment_flow_control_window(65_535)
                for request in self._late:
                    self._answer(request)
                self._late.clear()
            await self._send()
            if self._h2.state_machine.state is h2.connection.ConnectionState.CLOSED:
                return

    async def _send(self) -> None:
        if wire := self._h2.data_to_send():
            await self._stream.send_all(wire)

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            assert event.headers is not None
            assert event.stream_id is not None
            headers = {_text(name): _text(value) for name, value in event.headers}
            request = Received("HTTP/2", self._number, headers, headers[":path"], stream_id=event.stream_id)
            self._streams[event.stream_id] = self._intake.begin(request)
            if isinstance(request.step, Reset) and request.step.at_once:
                self._h2.reset_stream(event.stream_id, request.step.code)
            if isinstance(request.step, Answer) and request.step.at_once:
                self._answer(request)
        elif isinstance(event, h2.events.DataReceived):
            assert event.stream_id is not None
            request = self._streams[event.stream_id]
            request.body += event.data or b""
            if isinstance(request.step, Cut) and len(request.body) >= (request.step.after or 1 << 60):
                raise _CutOff
            if not self._intake.late_window:
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            assert event.stream_id is not None
            self._complete(self._streams[event.stream_id])

    def _complete(self, request: Received) -> None:
        request.is_complete = True
        step = request.step
        if isinstance(step, Cut):
            raise _CutOff
        if isinstance(step, Answer) and step.at_once:
            return
        if isinstance(step, Goaway):
            last = request.stream_id if step.taken else request.stream_id - 2
            self._h2.close_connection(0, last_stream_id=max(last, 0))
        elif isinstance(step, Reset):
            self._h2.reset_stream(request.stream_id, step.code)
        elif step == late:
            self._late.append(request)
        elif step != hang:
            self._held.append(request)

    def _answer(self, request: Received) -> None:
        step = request.step
        answer = step if isinstance(step, Answer) else Answer(step if isinstance(step, int) else 202)
        headers = [(":status", str(answer.status)), ("content-length", str(len(answer.body)))]
        self._h2.send_headers(request.stream_id, headers)
        self._h2.send_data(request.stream_id, answer.body, end_stream=True)
        if answer.with_goaway:
            self._h2.close_connection(0, last_stream_id=request.stream_id)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def pem_file(folder: Any, name: str, *blobs: bytes) -> str:
    """A file with these PEM texts one after the other; its path."""
    path = folder / name
    path.write_bytes(b"".join(blobs))
    return str(path)
