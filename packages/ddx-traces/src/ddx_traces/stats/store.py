"""Statistics in, payloads out: those that tracers post, and those that the concentrator counts. Synchronous throughout. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from ddx_core.buffer import BoundedBuffer, Entry, WhenFull
from ddx_core.clock import WallClock
from ddx_core.intake import Coding, Compressor, Fanout, Payload
from ddx_core.stats import Account

from ..settings import TracesSettings
from ..span import Span, TracerPayload
from ..split import split_stats
from .payload import (
    ClientStats,
    StatsBucket,
    acceptable_start,
    decode_client_stats,
    encode_client_stats,
    encode_stats_payload,
)

if TYPE_CHECKING:
    from .concentrator import Concentrator

path: Final = "/api/v0.2/stats"
content_type: Final = "application/msgpack"

# What one span-computed payload may hold, so that encoding it keeps nobody waiting for long.
max_groups_bytes: Final = 256 << 10
max_merged_bytes: Final = 256 << 10
"""More than this, of one tracer and bucket, is sent as it came: after a long outage, merging would keep everybody waiting."""


class _Posted(msgspec.Struct, frozen=True, gc=False):
    """One request, encoded. Requests of one `kind` are of one tracer and for the same buckets."""

    body: bytes
    kind: int


class StatsStore:
    """Holds tracers' statistics, encoded, until payloads are made of them. An item is a group.

    Groups that were added to others are counted as dropped, `merged`: their sums are delivered with those.

    `obfuscate` hides what the resource of a span of this type must not tell (type, resource → resource). `on_filling` is
    called when so much was counted here that it should be packed.
    """

    def __init__(
        self,
        settings: TracesSettings,
        *,
        account: Account,
        fanout: Fanout,
        now_ns: WallClock,
        obfuscate: Callable[[str, str], str] | None = None,
        on_filling: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._account = account
        self._fanout = fanout
        self._now_ns = now_ns
        self._obfuscate = obfuscate
        self._on_filling = on_filling
        self._concentrator: Concentrator | None = None
        if settings.computes_stats:
            # Few have it on, and it is not for the start of every process.
            from .concentrator import Concentrator

            self._concentrator = Concentrator(
                account,
                now_ns,
                env=settings.env,
                version=settings.version,
                service=settings.service,
                max_bytes=settings.max_counted_bytes,
            )
        # The stats intake is told gzip, at the fastest level, by all of the vendor's agents.
        self._compressor = Compressor(Coding.GZIP, 1)
        fanout.split_with(partial(split_stats, compressor=self._compressor))
        self._buffer: BoundedBuffer[_Posted] = BoundedBuffer(
            account, max_bytes=settings.max_stats_buffer_bytes, when_full=WhenFull.REFUSE
        )

    def __len__(self) -> int:
        """From how many requests statistics are held."""
        return len(self._buffer)

    @property
    def counted_groups(self) -> int:
        """How many groups of spans are being counted."""
        return 0 if self._concentrator is None else len(self._concentrator)

    @property
    def is_filling(self) -> bool:
        return self._concentrator is not None and self._concentrator.is_filling

    def count(self, spans: Sequence[Span], payload: TracerPayload) -> None:
        """Count the spans of one trace whose tracer has not done so: all of them, before sampling leaves any out."""
        if self._concentrator is None:
            return
        self._concentrator.add(spans, payload)
        if self._concentrator.is_filling and self._fanout.has_room():
            self._on_filling()

    def add(self, stats: ClientStats, size: int) -> bool:
        """Take in one tracer's statistics; `size` as they came. False: no room, and nothing was taken."""
        # The backend attributes a host by itself; the vendor's extension sends none.
        stats.hostname = ""
        now = self._now_ns()
        came = stats.groups
        has_alike = False
        for bucket in stats.stats:
            start, shift = acceptable_start(bucket.start, now)
            if shift:
                bucket.start, bucket.agent_time_shift = start, shift
            if self._obfuscate is not None:
                has_alike |= _hide(bucket, self._obfuscate)
        if has_alike and size <= max_merged_bytes:
            from .merge import merge_stats

            stats = merge_stats([stats])
        groups = stats.groups
        encoded = encode_client_stats(stats)
        if not self._buffer.put(_Posted(encoded, hash(_kind(stats))), size=len(encoded), items=groups):
            return False
        self._account.accept(came, size)
        self._count_merged(came - groups)
        return True

    def refuse(self, size: int) -> None:
        """Count a request of which nothing could be read."""
        self._account.refuse("malformed", 0, size)

    def pack(self) -> int:
        """Make one payload of what has been held longest and put it on the outbox. Returns from how many requests."""
        with self._buffer.lease(max_bytes=self._settings.max_stats_payload_bytes) as entries:
            bodies, groups = _join(entries)
            self._put(bodies, groups)
            self._count_merged(sum(entry.items for entry in entries) - groups)
            return len(entries)

    def pack_counted(self, *, everything: bool) -> int:
        """The same for some of the groups that were counted here; `everything` includes those of open buckets.

        Returns how many groups it was; 0: there are none whose time is over.
        """
        if self._concentrator is None:
            return 0
        taken = self._concentrator.take(everything=everything, max_bytes=max_groups_bytes)
        if taken is None:
            return 0
        stats, groups = taken
        try:
            self._put([encode_client_stats(stats)], groups)
        except BaseException:
            # A defect: what was taken is lost, and the account says so.
            self._account.drop("failed", groups, 0)
            raise
        return groups

    def _count_merged(self, groups: int) -> None:
        if groups:
            self._account.drop("merged", groups, 0)

    def _put(self, bodies: list[bytes], groups: int) -> None:
        body, encoding = self._compressor.compress(encode_stats_payload(bodies, client_computed=True))
        self._fanout.put(Payload(path=path, content_type=content_type, body=body, items=groups, encoding=encoding))


def _hide(bucket: StatsBucket, obfuscate: Callable[[str, str], str]) -> bool:
    """Hide what resources must not tell. True: some that differed by it are equal now, and their groups may be of one key."""
    origins: dict[str, str] = {}
    has_alike = False
    for group in bucket.stats:
        told = group.resource
        hidden = obfuscate(group.type, told)
        group.resource = hidden
        # Some tracers hide by themselves, so a resource may be there that needs no hiding and that another one becomes.
        has_alike |= origins.setdefault(hidden, told) != told
    return has_alike


def _join(entries: list[Entry[_Posted]]) -> tuple[list[bytes], int]:
    """What was posted, requests of one kind merged, and how many groups that makes."""
    kinds: dict[int, list[Entry[_Posted]]] = {}
    for entry in entries:
        kinds.setdefault(entry.value.kind, []).append(entry)
    bodies: list[bytes] = []
    groups = 0
    for same in kinds.values():
        if len(same) == 1 or sum(entry.size for entry in same) > max_merged_bytes:
            bodies += [entry.value.body for entry in same]
            groups += sum(entry.items for entry in same)
            continue
        for stats in _merge([entry.value.body for entry in same]):
            bodies.append(encode_client_stats(stats))
            groups += stats.groups
    return bodies, groups


def _merge(bodies: list[bytes]) -> list[ClientStats]:
    # Few tracers post twice for one bucket before a flush: what that takes is not for the start of every process.
    from .merge import merge_stats

    kinds: dict[object, list[ClientStats]] = {}
    for body in bodies:
        stats = decode_client_stats(body)
        kinds.setdefault(_kind(stats), []).append(stats)
    return [same[0] if len(same) == 1 else merge_stats(same) for same in kinds.values()]


def _kind(stats: ClientStats) -> object:
    """What two requests must agree in to be merged."""
    return (
        stats.env,
        stats.version,
        stats.lang,
        stats.tracer_version,
        stats.runtime_id,
        stats.agent_aggregation,
        stats.service,
        stats.container_id,
        tuple(stats.tags),
        stats.git_commit_sha,
        stats.image_tag,
        stats.process_tags_hash,
        stats.process_tags,
        tuple((bucket.start, bucket.duration, bucket.agent_time_shift) for bucket in stats.stats),
    )
