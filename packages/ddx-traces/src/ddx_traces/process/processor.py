"""A tracer's spans of one trace → the chunk to send. The order of the steps is the contract. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ddx_core.tags import TagSet

from ..obfuscate import Obfuscator
from ..rules import Replacer, TraceFilter
from ..span import Span, TraceChunk, TracerPayload
from .context import adopt_top_level, find_priority, find_root, mark_top_level, origin_key
from .filter import OwnCalls
from .normalize import Normalizer
from .outline import TraceOutline
from .tags import SpanTags


class Processed(msgspec.Struct, frozen=True, gc=False):
    """Spans that were dropped on purpose: `filtered` are the agent's own calls, `rejected` is what the user does not want."""

    chunks: list[TraceChunk]
    filtered: int = 0
    rejected: int = 0


class Processor:
    """Normalise, find the root, mark service entries, drop what is not the user's or not wanted, tag, hide, replace."""

    def __init__(
        self,
        normalizer: Normalizer,
        own_calls: OwnCalls,
        *,
        trace_filter: TraceFilter | None = None,
        obfuscator: Obfuscator | None = None,
        replacer: Replacer | None = None,
    ) -> None:
        self._normalizer = normalizer
        self._own_calls = own_calls
        self._trace_filter = trace_filter
        self._obfuscator = obfuscator or Obfuscator()
        self._replacer = replacer

    def process(
        self, spans: list[Span], payload: TracerPayload, tags: SpanTags, *, outline: TraceOutline | None = None
    ) -> Processed:
        """Change `spans` in place and sort them into chunks, one a trace id; a chunk left without spans is none.

        `outline` is of the whole trace where `spans` are but a part of it: what is decided once for a trace is then the
        same for every part.
        """
        if not spans:
            return Processed([])
        normalize = self._normalizer.apply
        for span in spans:
            normalize(span)
        if outline is not None:
            outline.normalize(self._normalizer)
        chunks: list[TraceChunk] = []
        filtered = rejected = 0
        obfuscate = self._obfuscator.apply
        for trace in _by_trace_id(spans):
            whole = outline if outline is not None and outline.is_of(trace[0]) else None
            root = find_root(trace) if whole is None else whole.root
            chunk = self._assemble(trace, root, payload, whole)
            if self._trace_filter is not None and self._trace_filter.rejects(root):
                rejected += len(trace)
                continue
            includes = self._own_calls.includes
            kept = [span for span in trace if not includes(span)]
            filtered += len(trace) - len(kept)
            for span in kept:
                tags.apply(span)
                obfuscate(span)
            if self._replacer is not None:
                for span in kept:
                    self._replacer.apply(span)
            if kept:
                chunk.spans = kept
                chunks.append(chunk)
        return Processed(chunks, filtered, rejected)

    def hide_resource(self, kind: str, resource: str) -> str:
        """The resource of spans of type `kind`, of which only statistics are known."""
        resource = self._obfuscator.obfuscate_resource(kind, resource)
        return resource if self._replacer is None else self._replacer.replace_resource(resource)

    def replace_tags(self, tags: TagSet) -> TagSet:
        """The user's rules applied to tags that spans get later."""
        return tags if self._replacer is None else TagSet(self._replacer.replace_tags(dict(tags)).items())

    def _assemble(
        self, trace: list[Span], root: Span, payload: TracerPayload, whole: TraceOutline | None
    ) -> TraceChunk:
        telling = trace if whole is None else [whole.firsts]
        self._describe(payload, root, telling)
        priority = find_priority(telling, root)
        if payload.tracer.computed_top_level:
            adopt_top_level(trace)
        elif whole is None:
            mark_top_level(trace)
        else:
            mark_top_level(trace, whole.services_of_parents(trace, self._normalizer))
        return TraceChunk(spans=trace, priority=priority, origin=root.meta.get(origin_key, ""))

    def _describe(self, payload: TracerPayload, root: Span, trace: list[Span]) -> None:
        """Fill what no trace of the request has told so far; as the tracer said it, before our own tags."""
        if not payload.env:
            # Already normalised; a value of which nothing was left counts as none.
            payload.env = _first("env", root, trace)
        if not payload.app_version:
            payload.app_version = _first("version", root, trace)
        if not payload.hostname:
            payload.hostname = _first("_dd.hostname", root, trace)
        if not payload.runtime_id:
            payload.runtime_id = _first("runtime-id", root, trace)


def _first(key: str, root: Span, trace: list[Span]) -> str:
    value = root.meta.get(key)
    if value:
        return value
    for span in trace:
        value = span.meta.get(key)
        if value:
            return value
    return ""


def _by_trace_id(spans: list[Span]) -> Sequence[list[Span]]:
    """The spans of each trace id, in order. Nearly always there is just one: tracers send a trace at a time."""
    first = spans[0].trace_id
    if all(span.trace_id == first for span in spans):
        return (spans,)
    traces: dict[int, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return tuple(traces.values())
