"""A real forward proxy on Trio: CONNECT for https targets, absolute-form for http ones, Basic authentication, refusals by script.

Every target is taken for a server on 127.0.0.1 with the same port, so that tests can use names which no resolver knows.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from typing import Any

import trio
import trustme

from ddx_core.http import open_tcp_listener

hang = "hang"
close = "close"
Step = int | str


@dataclass
class ForwardProxy:
    """Treats the first request by the first step (a status, `hang`, `close`, or `serve`), and serves when the script is over.

    `login` is user:password. `authority` makes it a proxy that is itself reached by TLS.
    """

    script: list[Step] = field(default_factory=list[Step])
    login: str | None = None
    authority: trustme.CA | None = None
    requests: list[bytes] = field(default_factory=list[bytes])
    """The head of each request to the proxy."""
    tunnels: int = 0
    forwarded: int = 0
    carried: bytes = b""
    """What went through tunnels from clients to targets."""
    port: int = 0

    @property
    def targets(self) -> list[str]:
        return [head.split(b" ", 2)[1].decode() for head in self.requests]

    def url(self, login: str | None = None) -> str:
        return f"{'https' if self.authority else 'http'}://{f'{login}@' if login else ''}127.0.0.1:{self.port}"

    async def start(self, nursery: trio.Nursery) -> ForwardProxy:
        listener = await open_tcp_listener("127.0.0.1", 0)
        self.port = listener.socket.getsockname()[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.authority is not None:
            certificate: Any = self.authority.issue_cert("127.0.0.1")
            certificate.configure_cert(context)

        async def serve(stream: trio.SocketStream) -> None:
            outer: Any = stream
            if self.authority is not None:
                outer = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            try:
                await self._serve(outer)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass
            finally:
                await trio.aclose_forcefully(outer)

        await nursery.start(trio.serve_listeners, serve, [listener])
        return self

    async def _serve(self, stream: Any) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            part = await stream.receive_some(65536)
            if not part:
                return
            data += bytes(part)
        head, _, rest = data.partition(b"\r\n\r\n")
        self.requests.append(head)
        step = self.script.pop(0) if self.script else "serve"
        if step == hang:
            await trio.sleep_forever()
        if step == close:
            return
        if isinstance(step, int):
            await self._refuse(stream, step)
            return
        if self.login is not None:
            lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
            given = [value for name, _, value in lines if name.lower() == b"proxy-authorization"]
            if given != [b"Basic " + base64.b64encode(self.login.encode())]:
                await self._refuse(stream, 407)
                return
        method, target, _ = head.split(b" ", 2)
        if method == b"CONNECT":
            port = int(target.rpartition(b":")[2])
            inner = await trio.open_tcp_stream("127.0.0.1", port)
            self.tunnels += 1
            await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            authority, _, path = target.partition(b"://")[2].partition(b"/")
            inner = await trio.open_tcp_stream("127.0.0.1", int(authority.rpartition(b":")[2]))
            self.forwarded += 1
            rest = head.replace(target, b"/" + path, 1) + b"\r\nConnection: close\r\n\r\n" + rest
        async with inner, trio.open_nursery() as pumping:
            pumping.start_soon(self._pump, inner, stream, pumping.cancel_scope, False)
            await inner.send_all(rest)
            await self._pump(stream, inner, pumping.cancel_scope, True)

    async def _pump(self, source: Any, sink: Any, scope: trio.CancelScope, is_outward: bool) -> None:
        try:
            while data := await source.receive_some(65536):
                if is_outward:
                    self.carried += bytes(data)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def _refuse(self, stream: Any, status: int) -> None:
        extra = "Proxy-Authenticate: Basic\r\n" if status == 407 else ""
        reason = {407: "Proxy Authentication Required", 403: "Forbidden", 502: "Bad Gateway"}.get(status, "No")
        await stream.send_all(f"HTTP/1.1 {status} {reason}\r\n{extra}Content-Length: 0\r\n\r\n".encode())
