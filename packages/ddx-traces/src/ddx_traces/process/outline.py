"""What decides for the whole of a trace that is worked on in parts, gathered from all of them before the first is processed.

Rule of this file: of a span nothing is kept but its ids and its service, so that an outline stays small beside the trace;
the exceptions are the root, and the first value of what any span may say for all. Pure.
"""

from __future__ import annotations

import msgspec

from ..span import Span
from .context import payload_keys, priority_key
from .normalize import Normalizer, max_name_bytes, normalize_tag


class TraceOutline(msgspec.Struct, frozen=True, gc=False):
    """`firsts` says what the first span says that says it: priority, and what describes the payload.

    `root` is a span of its own, not the one that is processed with its part. `services` are of every span, by id and as
    the tracer said them.
    """

    root: Span
    firsts: Span
    services: dict[int, str]

    def is_of(self, span: Span) -> bool:
        """Whether a span belongs to this trace: others may have strayed into its parts."""
        return span.trace_id == self.root.trace_id

    def find_root(self, spans: list[Span]) -> Span | None:
        """The root as it is processed, when it is among the spans of this part."""
        root = self.root
        for span in spans:
            if span.span_id == root.span_id and span.trace_id == root.trace_id:
                return span
        return None

    def normalize(self, normalizer: Normalizer) -> None:
        """To be done before each part; doing it again changes nothing."""
        normalizer.apply(self.root)
        normalizer.apply(self.firsts)

    def services_of_parents(self, spans: list[Span], normalizer: Normalizer) -> dict[int, str]:
        """The services that these spans were called from, normalised, by the ids of the parents."""
        services = self.services
        parents = {span.parent_id for span in spans}
        return {parent: normalizer.service(services[parent]) for parent in parents if parent in services}


class Outliner:
    """Looks at a trace's spans, part by part and as they were decoded; unless it has the root then, it has to be shown it."""

    def __init__(self) -> None:
        # No span has 0 for an id, so it stands for none.
        self._trace_id = self._last_id = 0
        self._services: dict[int, str] = {}
        self._names: dict[str, str] = {}
        self._meta: dict[str, str] = {}
        self._metrics: dict[str, float] = {}
        self._root: Span | None = None
        # The last child of each parent, in the order of the children; of use while every span has a parent.
        self._last_child: dict[int, int] = {}

    def look(self, spans: list[Span]) -> None:
        """Spans without ids and spans sent twice do not count: neither are processed. Nor do those of another trace."""
        services = self._services
        names = self._names
        for span in spans:
            span_id = span.span_id
            if not span_id or not span.trace_id:
                continue
            if not self._trace_id:
                self._trace_id = span.trace_id
            if span.trace_id != self._trace_id or span_id in services:
                continue
            # Nothing behind these characters counts in a service's name.
            service = span.service[:max_name_bytes]
            services[span_id] = names.setdefault(service, service)
            self._last_id = span_id
            self._note_parent(span)
            self._note_firsts(span)

    @property
    def has_root(self) -> bool:
        return self._root is not None

    def take_root(self, spans: list[Span]) -> None:
        """Once all parts were looked at: keep the root if it is one of these."""
        root_id = self._root_id()
        for span in spans:
            if span.span_id == root_id and span.trace_id == self._trace_id:
                self._root = span
                return

    def finish(self) -> TraceOutline | None:
        """None without spans that count."""
        root = self._root
        if root is None:
            return None
        firsts = Span(
            trace_id=root.trace_id, span_id=root.span_id, start=root.start, meta=self._meta, metrics=self._metrics
        )
        return TraceOutline(root, firsts, self._services)

    def _note_firsts(self, span: Span) -> None:
        for key in payload_keys:
            if key not in self._meta:
                value = span.meta.get(key)
                # An environment of which nothing is left when it is normalised counts as none.
                if value and (key != "env" or normalize_tag(value)):
                    self._meta[key] = value
        if priority_key in span.metrics:
            self._metrics.setdefault(priority_key, span.metrics[priority_key])

    def _note_parent(self, span: Span) -> None:
        parent_id = span.parent_id
        # The normaliser will say of the second that it has no parent.
        if not parent_id or parent_id == span.span_id == span.trace_id:
            self._root = span
            self._last_child.clear()
        elif self._root is None:
            self._last_child.pop(parent_id, None)
            self._last_child[parent_id] = span.span_id

    def _root_id(self) -> int:
        """What `find_root` would find in the whole trace, where every span has a parent."""
        for parent_id in reversed(self._last_child):
            if parent_id not in self._services:
                return self._last_child[parent_id]
        return self._last_id
