"""A traces pipeline before a scripted intake in memory, spans made short, and a small HTTP client."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
import trio
import zstandard

from ddx_core.clock import WallClock
from ddx_core.errors import Unavailable
from ddx_core.intake import Coding, Compressor, Endpoint, IntakeClient, Outcome, Payload, Sent, StaticKey, open_fanout
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_traces.observer import ChunkObserver
from ddx_traces.pipeline import TracesPipeline, TracesSettings
from ddx_traces.proxy import ProxiedIntakes
from ddx_traces.span import Span

from .protobuf_reader import read_agent_payload

now = 1_700_000_000_000_000_000
function_tags = TagSet([("functionname", "orders"), ("region", "eu-west-1"), ("service", "shop")])


def span(**fields: Any) -> Span:
    """A span that nothing would be changed on, but for `fields`."""
    usual: dict[str, Any] = {
        "trace_id": 1,
        "span_id": 2,
        "service": "web",
        "name": "request",
        "resource": "GET /",
        "start": now - 1_000_000,
        "duration": 1_000_000,
        "meta": {},
        "metrics": {},
    }
    return Span(**{**usual, **fields})


def wire_span(**fields: Any) -> dict[str, Any]:
    """The same as a v0.4 map."""
    return {
        "trace_id": 1,
        "span_id": 2,
        "parent_id": 0,
        "service": "web",
        "name": "request",
        "resource": "GET /",
        "type": "web",
        "start": now - 1_000_000,
        "duration": 1_000_000,
        "error": 0,
        "meta": {},
        "metrics": {},
        **fields,
    }


def v04(*traces: Sequence[Any]) -> bytes:
    return msgspec.msgpack.encode(traces)


def wire_trace(trace_id: int, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
    return [wire_span(trace_id=trace_id, span_id=trace_id * 1000 + number, **fields) for number in range(1, count + 1)]


def v05(*traces: Sequence[dict[str, Any]]) -> bytes:
    """The same traces in the form with a dictionary."""
    strings: dict[str, int] = {"": 0}

    def index(text: str) -> int:
        return strings.setdefault(text, len(strings))

    encoded = [
        [
            [
                index(each["service"]),
                index(each["name"]),
                index(each["resource"]),
                each["trace_id"],
                each["span_id"],
                each["parent_id"],
                each["start"],
                each["duration"],
                each["error"],
                {index(key): index(value) for key, value in each["meta"].items()},
                {index(key): value for key, value in each["metrics"].items()},
                index(each["type"]),
            ]
            for each in trace
        ]
        for trace in traces
    ]
    return msgspec.msgpack.encode([list(strings), encoded])


def body_of(payload: Payload) -> bytes:
    match payload.encoding:
        case None:
            return payload.body
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(payload.body)
        case "gzip":
            return gzip.decompress(payload.body)
        case _:
            raise AssertionError(payload.encoding)


def spans_in(payload: Payload) -> list[dict[str, Any]]:
    agent_payload = read_agent_payload(body_of(payload))
    return [
        each
        for tracer_payload in agent_payload["tracerPayloads"]
        for chunk in tracer_payload["chunks"]
        for each in chunk["spans"]
    ]


class ScriptedIntake:
    """Stands in for IntakeClient: answers as scripted (then 202), and keeps what it accepted."""

    def __init__(self, answers: Iterable[int] = ()) -> None:
        self.answers = list(answers)
        self.payloads: list[Payload] = []
        self.is_down = False
        self.down_paths: set[str] = set()
        self.wall_clock = lambda: now
        self.carrier = None

    async def send(self, endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
        await trio.lowlevel.checkpoint()
        status = (
            self.answers.pop(0) if self.answers else 503 if self.is_down or payload.path in self.down_paths else 202
        )
        if status >= 500:
            raise Unavailable(f"{endpoint.name}: status {status}")
        if status >= 400:
            return Sent(outcome=Outcome.REFUSED, status=status, attempts=1)
        # What is accepted is accepted at once: the answer's way back has checkpoints of its own.
        self.payloads.append(payload)
        return Sent(outcome=Outcome.DELIVERED, status=status, attempts=1)

    @property
    def traces(self) -> list[Payload]:
        return [payload for payload in self.payloads if payload.path == "/api/v0.2/traces"]

    @property
    def stats(self) -> list[Payload]:
        return [payload for payload in self.payloads if payload.path == "/api/v0.2/stats"]

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [each for payload in self.traces for each in spans_in(payload)]


class Rig:
    """A pipeline, its accounts and its intake."""

    def __init__(
        self,
        settings: TracesSettings | None = None,
        *,
        listeners: Sequence[trio.SocketListener] = (),
        observers: Sequence[ChunkObserver] = (),
        tags: TagSet = function_tags,
        compressor: Compressor | None = None,
        outbox_bytes: int = 16 << 20,
        endpoints: Sequence[str] = ("primary",),
        proxied: ProxiedIntakes | None = None,
        now_ns: WallClock = lambda: now,
    ) -> None:
        self.account = Account("traces")
        self.stats_account = Account("stats")
        self.intake = ScriptedIntake()
        places = [Endpoint(name=name, base_url=f"http://{name}", key=StaticKey("k")) for name in endpoints]
        client = cast(IntakeClient, self.intake)
        self.fanout = open_fanout(self.account, places, client, max_bytes=outbox_bytes)
        self.stats_fanout = open_fanout(self.stats_account, places, client, max_bytes=outbox_bytes)
        self.pipeline = TracesPipeline(
            settings or TracesSettings(),
            account=self.account,
            stats_account=self.stats_account,
            fanout=self.fanout,
            stats_fanout=self.stats_fanout,
            compressor=compressor or Compressor(Coding.IDENTITY),
            tags=tags,
            now_ns=now_ns,
            listeners=listeners,
            observers=observers,
            proxied=proxied,
        )

    def check(self) -> None:
        for account in self.pipeline.accounts:
            assert account.snapshot().closes, account.snapshot()

    @property
    def held(self) -> int:
        return self.account.snapshot().held.items

    @property
    def delivered(self) -> int:
        return self.account.snapshot().delivered.items

    def dropped(self, reason: str) -> int:
        return self.account.dropped(reason).items


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class HttpClient:
    """One kept connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream

    @classmethod
    async def connect(cls, port: int) -> HttpClient:
        return cls(await trio.open_tcp_stream("127.0.0.1", port))

    async def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        await self.stream.send_all(request_bytes(method, path, body, headers))
        return await self.read_answer()

    async def read_answer(self) -> Answer:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._receive()
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(rest) < int(headers.get("content-length", "0")):
            rest += await self._receive()
        return Answer(int(first.split(" ")[1]), headers, rest)

    async def _receive(self) -> bytes:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError
        return data


def request_bytes(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body
