"""What became of the spans of one key in one bucket: how many, how many failed, how long they took. Pure."""

from __future__ import annotations

from typing import Final

from .counting import GroupKey
from .payload import StatsGroup
from .sketch import Sketch

# What Python's objects take: a group with its key, sketches and lists; one bin.
group_bytes: Final = 1500
bin_bytes: Final = 120

_max_uint64: Final = 2**64 - 1


class Group:
    """`…_waiting` are durations that are not counted yet; `size` is about what it takes in memory, without those.

    `top`: how many of its spans were the first of their service.
    """

    __slots__ = (
        "duration",
        "error_sketch",
        "error_waiting",
        "errors",
        "hits",
        "ok_sketch",
        "ok_waiting",
        "size",
        "top",
    )

    def __init__(self, key: GroupKey) -> None:
        self.ok_waiting: list[int] = []
        self.error_waiting: list[int] = []
        self.ok_sketch = Sketch()
        self.error_sketch = Sketch()
        self.hits: float = 0
        self.errors: float = 0
        self.duration: float = 0
        self.top: float = 0
        self.size = group_bytes + size_of(key)

    def fold(self) -> int:
        """Count what waits. Returns by how many bytes that makes the group larger."""
        bins = 0
        if waiting := self.ok_waiting:
            self.hits += len(waiting)
            self.duration += sum(waiting)
            bins += self.ok_sketch.insert(waiting)
            waiting.clear()
        if waiting := self.error_waiting:
            self.hits += len(waiting)
            self.errors += len(waiting)
            self.duration += sum(waiting)
            bins += self.error_sketch.insert(waiting)
            waiting.clear()
        self.size += bins * bin_bytes
        return bins * bin_bytes

    def add_weighted(self, duration: int, weight: float, *, is_error: bool, is_top: bool) -> int:
        """Count a span that stands for others too. Returns by how many bytes that makes the group larger."""
        self.hits += weight
        self.errors += weight * is_error
        self.top += weight * is_top
        self.duration += duration * weight
        sketch = self.error_sketch if is_error else self.ok_sketch
        size = sketch.insert_weighted(duration, weight) * bin_bytes
        self.size += size
        return size

    def tell(self, key: GroupKey) -> StatsGroup:
        """Everything, once nothing waits."""
        return StatsGroup(
            service=key.service,
            name=key.name,
            resource=key.resource,
            http_status_code=key.http_status_code,
            type=key.type,
            hits=round(self.hits),
            errors=round(self.errors),
            duration=min(round(self.duration), _max_uint64),
            ok_summary=self.ok_sketch.encode(),
            error_summary=self.error_sketch.encode(),
            synthetics=key.synthetics,
            top_level_hits=round(self.top),
            span_kind=key.span_kind,
            peer_tags=list(key.peer_tags),
            is_trace_root=key.trace_root,
            grpc_status_code=key.grpc_status_code,
            http_method=key.http_method,
            http_endpoint=key.http_endpoint,
            service_source=key.service_source,
        )


def size_of(key: GroupKey) -> int:
    """The characters of those of its texts that may be long."""
    return (
        len(key.service)
        + len(key.name)
        + len(key.resource)
        + len(key.type)
        + len(key.http_method)
        + len(key.http_endpoint)
        + sum(map(len, key.peer_tags))
    )
