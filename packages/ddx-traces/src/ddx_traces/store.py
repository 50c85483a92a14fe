"""Spans in, payloads out: decoded spans are processed, encoded and held here until payloads are made of them.

Rule of this file: every method is synchronous, so a span is accepted, and then held or dropped and counted, before anybody
else's turn comes; `pack` moves spans from the buffer to the outbox in one step. Pure but for the clock it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ddx_core.buffer import BoundedBuffer, WhenFull
from ddx_core.clock import WallClock
from ddx_core.intake import Compressor, Fanout, Payload
from ddx_core.stats import Account
from ddx_core.tags import TagSet

from .encode import EncodedChunk, PayloadDefaults, encode_agent_payload, encode_chunks, request_headers
from .obfuscate import Obfuscator
from .observer import ChunkObserver
from .parts import TracePart, max_span_bytes
from .process import (
    Normalizer,
    OwnCalls,
    Processor,
    SeenSpans,
    SpanTags,
    choose_base_service,
)
from .rules import Replacer, TraceFilter
from .sampling import keep_sampled
from .settings import TracesSettings
from .span import Span, TraceChunk, TracerPayload
from .span_encoder import SpanEncoder
from .split import split_traces

path: Final = "/api/v0.2/traces"
content_type: Final = "application/x-protobuf"

# What holding a chunk costs besides its bytes: the bytes object, the structs round it, its place in the buffer.
chunk_overhead_bytes: Final = 200
# As much as one header may say (64 bits).
max_dropped_p0: Final = 2**64 - 1


class TraceStore:
    """One sandbox's spans, between the receivers and the outbox.

    `count` counts spans for statistics; with it, what is not sampled is left out afterwards. `on_full_payload` is called
    whenever something was added and there is enough for a full payload.
    """

    def __init__(
        self,
        settings: TracesSettings,
        *,
        account: Account,
        fanout: Fanout,
        compressor: Compressor,
        tags: TagSet,
        now_ns: WallClock,
        observers: Sequence[ChunkObserver] = (),
        count: Callable[[Sequence[Span], TracerPayload], None] | None = None,
        on_full_payload: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._account = account
        self._fanout = fanout
        fanout.split_with(partial(split_traces, compressor=compressor))
        self._compressor = compressor
        self._observers = tuple(observers)
        self._count = count
        self._on_full_payload = on_full_payload
        # With a buffer smaller than a payload, half a buffer is enough to be sent.
        self._full_bytes = min(settings.max_payload_bytes, settings.max_buffer_bytes // 2)
        self._seen = SeenSpans()
        self._encode_span = SpanEncoder().encode
        addresses = (*([settings.runtime_api] if settings.runtime_api else ()), *settings.own_addresses)
        self._processor = Processor(
            Normalizer(now_ns),
            OwnCalls([f"http://{address}" for address in addresses]),
            trace_filter=TraceFilter(settings.filters) if settings.filters else None,
            obfuscator=Obfuscator(settings.obfuscation),
            replacer=Replacer(settings.replace_rules) if settings.replace_rules else None,
        )
        # There is room above the mark at which requests are turned away, since one that was let in is taken to its end.
        self._buffer: BoundedBuffer[EncodedChunk] = BoundedBuffer(
            account,
            max_bytes=settings.max_buffer_bytes + 2 * settings.max_payload_bytes,
            when_full=WhenFull.DROP_OLDEST,
        )
        self._dropped_p0_traces = 0
        self._dropped_p0_spans = 0
        self.set_tags(tags)

    def set_tags(self, tags: TagSet) -> None:
        """The tags of all spans that come from here on."""
        settings = self._settings
        tags = self._processor.replace_tags(tags)
        base_service = choose_base_service(
            service=settings.service or "",
            function_name=settings.function_name or "",
            represents_services=settings.represents_services,
        )
        self._tags = SpanTags(tags, origin=settings.origin, base_service=base_service)
        self._defaults = PayloadDefaults(
            env=settings.env or "", app_version=settings.version or "", function_tags=tags.joined
        )

    def hide_resource(self, kind: str, resource: str) -> str:
        """The resource of spans of type `kind` as they leave here, for statistics of spans that never came here."""
        return self._processor.hide_resource(kind, resource)

    def __len__(self) -> int:
        """How many chunks are held."""
        return len(self._buffer)

    @property
    def has_full_payload(self) -> bool:
        """Whether there is as much as a payload may hold, or as the buffer should hold."""
        return self._buffer.waiting_bytes >= self._full_bytes

    def make_room(self) -> bool:
        """Whether another request may be let in, after packing what can be packed."""
        while self._is_over_mark():
            if not self._fanout.has_room():
                return False
            self.pack()
        return True

    def take_dropped_p0(self, payload: TracerPayload) -> None:
        """Take over how much the tracer has left out: the next payload tells it, also when no chunk of this request is held."""
        if payload.dropped_p0_traces or payload.dropped_p0_spans:
            self._dropped_p0_traces = min(self._dropped_p0_traces + payload.dropped_p0_traces, max_dropped_p0)
            self._dropped_p0_spans = min(self._dropped_p0_spans + payload.dropped_p0_spans, max_dropped_p0)
            payload.dropped_p0_traces = payload.dropped_p0_spans = 0

    def add(self, part: TracePart, payload: TracerPayload) -> None:
        """Take in the spans of one trace, or of a part of it; they are the store's from here on.

        `payload` is the same object for all parts of a request: what one trace tells of the sender is told for the next.
        """
        count = part.count
        if not count:
            return
        self._account.accept(count, part.size)
        unsettled = _Unsettled(self._account, count, part.size // count)
        try:
            unsettled.drop("malformed", part.read.malformed)
            unsettled.drop("too_large", part.too_large)
            admitted = self._seen.admit(part.read.spans)
            unsettled.drop("malformed", admitted.malformed)
            unsettled.drop("duplicate", admitted.duplicates)
            fresh = admitted.spans
            for observer in self._observers:
                before = len(fresh)
                fresh = observer.on_chunk(fresh, payload)
                unsettled.count -= before - len(fresh)
            processed = self._processor.process(fresh, payload, self._tags, outline=part.outline)
            unsettled.drop("filtered", processed.filtered)
            unsettled.drop("rejected", processed.rejected)
            tags = self.replace_tags(part.tags) if part.tags else part.tags
            for chunk in processed.chunks:
                chunk.was_dropped = part.was_dropped
                chunk.tags = tags
                if self._count is not None:
                    if not payload.tracer.computed_stats:
                        self._count(chunk.spans, payload)
                    unsettled.drop("not_sampled", keep_sampled(chunk))
                self._hold(chunk, payload, unsettled)
        except BaseException:
            # A defect, of an observer perhaps: what was under way is lost, and the account says so.
            unsettled.drop("failed", unsettled.count)
            raise

    def replace_tags(self, tags: dict[str, str]) -> dict[str, str]:
        """The user's rules applied to what a request says of all its spans."""
        return dict(self._processor.replace_tags(TagSet(tags.items())))

    def give_up(self, spans: int, size: int) -> None:
        """Count the rest of a request for which the end came too soon."""
        self._account.accept(spans, size)
        self._account.drop("shutdown", spans, size)

    def refuse(self, size: int) -> None:
        """Count a request of which nothing could be read: how many spans were in it, nobody knows."""
        self._account.refuse("malformed", 0, size)

    def pack(self) -> int:
        """Make one payload of what has been held longest and put it on the outbox. Returns how many chunks it took."""
        with self._buffer.lease(max_bytes=self._settings.max_payload_bytes) as entries:
            chunks = [entry.value for entry in entries]
            payloads = list({id(chunk.payload): chunk.payload for chunk in chunks}.values())
            body, encoding = self._compressor.compress(encode_agent_payload(chunks, self._defaults))
            self._fanout.put(
                Payload(
                    path=path,
                    content_type=content_type,
                    body=body,
                    items=sum(entry.items for entry in entries),
                    encoding=encoding,
                    headers=request_headers(
                        payloads,
                        dropped_p0_traces=self._dropped_p0_traces,
                        dropped_p0_spans=self._dropped_p0_spans,
                    ),
                )
            )
            self._dropped_p0_traces = self._dropped_p0_spans = 0
            return len(entries)

    def _is_over_mark(self) -> bool:
        return self._buffer.waiting_bytes >= self._settings.max_buffer_bytes

    def _hold(self, chunk: TraceChunk, payload: TracerPayload, unsettled: _Unsettled) -> None:
        tags = self._tags
        backend_computes_stats = self._count is None and not payload.tracer.computed_stats
        encode_span = self._encode_span
        encoded: list[tuple[bytes, bytes]] = []
        for span in chunk.spans:
            body = encode_span(span)
            if len(body) > max_span_bytes:
                unsettled.drop("too_large", 1)
                continue
            encoded.append((body, tags.encoded_for(span, backend_computes_stats=backend_computes_stats)))
        # Two chunks fit into a payload, so that no payload is left half empty for the next chunk's sake.
        max_bytes = self._settings.max_payload_bytes // 2
        for each in encode_chunks(
            payload,
            encoded,
            priority=chunk.priority,
            origin=chunk.origin,
            max_bytes=max_bytes,
            tags=chunk.tags,
            was_dropped=chunk.was_dropped,
        ):
            size = len(each.body) + chunk_overhead_bytes
            while len(self._buffer) and not self._buffer.has_room(size):
                # In the middle of a request that was let in: what was there first goes to the outbox, room or not.
                self.pack()
            self._buffer.put(each, size=size, items=each.spans)
            unsettled.count -= each.spans
            if self.has_full_payload:
                self._on_full_payload()


class _Unsettled:
    """How many spans of a trace under way are neither held nor dropped yet."""

    __slots__ = ("_account", "_span_size", "count")

    def __init__(self, account: Account, count: int, span_size: int) -> None:
        self._account = account
        self.count = count
        self._span_size = span_size

    def drop(self, reason: str, count: int) -> None:
        if count:
            self._account.drop(reason, count, count * self._span_size)
            self.count -= count
