"""Concentrator: spans → groups by key and 10-second bucket, for tracers that compute no statistics themselves. Pure.

Rules of this file:
- Every span that counts is counted, in a group of its own kind or, beyond the limits, in the group of what is blocked.
- A span belongs to the bucket in which it ended; groups of one sender and bucket are gathered, and told, together.
- A span costs one look-up of what it says about itself; what that means is worked out when it is said for the first time.
- Memory: at most `max_keys` groups a bucket, `max_gatherings`, and about `max_bytes`. Durations wait in lists and are sorted
  into sketches many at a time.
The items of the account are groups: one is accepted when it begins, and held until it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ddx_core.clock import ns_per_s
from ddx_core.stats import Account, Amount

from ..span import Span, TracerPayload
from .counting import (
    GroupKey,
    blocked_key,
    calling_kinds,
    counted_kinds,
    is_counted,
    keys_in_metrics,
    keys_of_all,
    keys_of_callers,
    read_key,
)
from .group import Group, size_of
from .payload import ClientStats, StatsBucket, StatsGroup, acceptable_start
from .saying import Readers, Saying

bucket_ns: Final = 10 * ns_per_s
max_keys: Final = 7000
max_gatherings: Final = 200
max_waiting: Final = 20_000
"""Durations that wait in lists, altogether."""
most_waiting_in_group: Final = 512
said_bytes: Final = 400
"""What Python's objects take of one entry of `said`, besides its texts."""
max_said_bytes: Final = 2 << 20
longest_said: Final = 2000
"""Characters beyond which what a span says is not remembered."""
max_weight: Final = 1e6

_long_ago: Final = -(2**64)
_sample_rate = "_sample_rate"
_partial_version = "_dd.partial_version"
_told_in_metrics = keys_in_metrics | {_sample_rate, _partial_version}


class Sender(NamedTuple):
    """What a tracer says of itself."""

    env: str
    version: str
    lang: str
    tracer_version: str
    runtime_id: str
    container_id: str


class _Gathering:
    """The groups of one sender in one bucket. `said` finds the same groups by what their spans say, word for word."""

    __slots__ = ("git_commit_sha", "groups", "process_tags", "said", "sender", "start_ns")

    def __init__(self, start_ns: int, sender: Sender) -> None:
        self.start_ns = start_ns
        self.sender = sender
        self.groups: dict[GroupKey, Group] = {}
        self.said: dict[Saying, Group] = {}
        # Tracers tell these with some of their traces only.
        self.git_commit_sha = ""
        self.process_tags = ""


class Concentrator:
    """`env` and `version` stand in where a tracer says nothing; `service` is the function's own."""

    def __init__(
        self,
        account: Account,
        now_ns: Callable[[], int],
        *,
        env: str | None = None,
        version: str | None = None,
        service: str | None = None,
        max_bytes: int = 8 << 20,
    ) -> None:
        self._account = account
        self._now_ns = now_ns
        self._env = env or "unknown-env"
        self._version = version or ""
        self._service = (service or "").lower()
        self._max_bytes = max_bytes
        self._gatherings: dict[tuple[int, Sender], _Gathering] = {}
        self._keys: dict[int, int] = {}
        self._oldest_ns = now_ns() // bucket_ns * bucket_ns - bucket_ns
        self._groups = 0
        self._bytes = 0
        self._said_bytes = 0
        self._fold_at = most_waiting_in_group
        self._readers = Readers(keys_of_all)
        self._readers_of_callers = Readers(keys_of_callers)
        account.held_by(self._held)

    def __len__(self) -> int:
        """How many groups are held."""
        return self._groups

    @property
    def is_filling(self) -> bool:
        """Whether there is so much that it should be taken, open buckets included, before later spans are blocked."""
        return self._bytes > self._max_bytes // 2

    def add(self, spans: Sequence[Span], payload: TracerPayload) -> None:
        """Count the spans of one trace, as they are after processing and before sampling leaves any out."""
        now_bucket = self._now_ns() // bucket_ns * bucket_ns
        sender = self._sender(payload)
        gathering: _Gathering | None = None
        said: dict[Saying, Group] = {}
        from_ns = to_ns = 0
        fold_at = self._fold_at
        readers = self._readers
        readers_of_callers = self._readers_of_callers
        for span in spans:
            metrics = span.metrics
            meta = span.meta
            kind = meta.get("span.kind", "")
            is_top = metrics.get("_top_level") == 1 or metrics.get("_dd.top_level") == 1
            if not is_top and kind not in counted_kinds and not is_counted(span):
                continue
            told = () if _told_in_metrics.isdisjoint(metrics) else _told_in_metrics.intersection(metrics)
            if told and metrics.get(_partial_version, -1.0) >= 0:
                continue
            duration = span.duration
            end = span.start + duration
            if gathering is None or not from_ns <= end < to_ns:
                gathering = self._gather(end, now_bucket, sender)
                _learn(gathering, spans[0].meta)
                said = gathering.said
                from_ns = gathering.start_ns
                to_ns = from_ns + bucket_ns
                if from_ns == self._oldest_ns:
                    from_ns = _long_ago
            is_caller = kind in calling_kinds or kind.lower() in calling_kinds
            read = (readers_of_callers if is_caller else readers)[tuple(meta)]
            saying = (read, read(meta), span.resource, span.name, span.service, span.type, not span.parent_id)
            if told:
                saying = (*saying, *[(key, metrics[key]) for key in told])
            group = said.get(saying)
            if group is None:
                group = self._find_group(span, saying, gathering)
                fold_at = self._fold_at
            if told and _sample_rate in metrics:
                weight = _weight(metrics[_sample_rate])
                self._bytes += group.add_weighted(duration, weight, is_error=bool(span.error), is_top=is_top)
                continue
            if is_top:
                group.top += 1
            waiting = group.error_waiting if span.error else group.ok_waiting
            waiting.append(duration)
            if len(waiting) >= fold_at:
                self._bytes += group.fold()
                if self._is_full:
                    self._forget_said()

    def take(self, *, everything: bool, max_bytes: int) -> tuple[ClientStats, int] | None:
        """Groups of one sender and bucket whose time is over, and how many; they are the caller's from here on.

        `everything` takes open buckets too: what is counted in them later is told besides, and the backend adds it up.
        `max_bytes` is about how large the groups may be together when they are encoded.
        """
        now = self._now_ns()
        now_bucket = now // bucket_ns * bucket_ns
        self._oldest_ns = now_bucket - bucket_ns
        for gathering in self._gatherings.values():
            # Later than now: the clock was put back.
            if everything or not now_bucket - bucket_ns <= gathering.start_ns <= now_bucket:
                return self._take_from(gathering, now, max_bytes)
        return None

    def _take_from(self, gathering: _Gathering, now_ns: int, max_bytes: int) -> tuple[ClientStats, int]:
        told: list[StatsGroup] = []
        size = 0
        while gathering.groups and size < max_bytes:
            key, group = gathering.groups.popitem()
            self._groups -= 1
            self._bytes -= group.size
            group.fold()
            one = group.tell(key)
            told.append(one)
            size += len(one.ok_summary) + len(one.error_summary) + size_of(key)
        start_ns = gathering.start_ns
        self._keys[start_ns] -= len(told)
        if not gathering.groups:
            del self._gatherings[start_ns, gathering.sender]
            if not self._keys[start_ns]:
                del self._keys[start_ns]
        self._forget_said()
        self._set_fold_at()
        start, shift = acceptable_start(start_ns, now_ns)
        sender = gathering.sender
        stats = ClientStats(
            env=sender.env,
            version=sender.version,
            stats=[StatsBucket(start=start, duration=bucket_ns, stats=told, agent_time_shift=shift)],
            lang=sender.lang,
            tracer_version=sender.tracer_version,
            runtime_id=sender.runtime_id,
            service=self._service,
            container_id=sender.container_id,
            git_commit_sha=gathering.git_commit_sha,
            process_tags=gathering.process_tags,
        )
        return stats, len(told)

    def _sender(self, payload: TracerPayload) -> Sender:
        tracer = payload.tracer
        return Sender(
            payload.env or self._env,
            payload.app_version or self._version,
            tracer.language,
            tracer.version,
            payload.runtime_id,
            tracer.container_id,
        )

    def _gather(self, end_ns: int, now_bucket: int, sender: Sender) -> _Gathering:
        """Where spans of `sender` that end at `end_ns` are counted; what comes too late, or from the future, comes close."""
        # The clock may have been put back since.
        start_ns = min(max(end_ns // bucket_ns * bucket_ns, self._oldest_ns), now_bucket)
        gathering = self._gatherings.get((start_ns, sender))
        if gathering is None:
            if len(self._gatherings) >= max_gatherings:
                return next(reversed(self._gatherings.values()))
            gathering = self._gatherings[start_ns, sender] = _Gathering(start_ns, sender)
            self._keys.setdefault(start_ns, 0)
        return gathering

    def _find_group(self, span: Span, saying: Saying, gathering: _Gathering) -> Group:
        if self._is_full:
            # One group takes everything then, so that what it holds is bounded too.
            group = self._blocked(next(iter(self._gatherings.values())))
        else:
            key = read_key(span)
            group = gathering.groups.get(key)
            if group is None:
                has_room = self._keys[gathering.start_ns] < max_keys
                group = self._begin(key, gathering) if has_room else self._blocked(gathering)
        values = saying[1]
        length = len(span.resource) + sum(map(len, values))
        if length <= longest_said:
            self._said_bytes += length + said_bytes
            if self._said_bytes > max_said_bytes:
                self._forget_said()
            gathering.said[saying] = group
        return group

    def _blocked(self, gathering: _Gathering) -> Group:
        return gathering.groups.get(blocked_key) or self._begin(blocked_key, gathering)

    def _begin(self, key: GroupKey, gathering: _Gathering) -> Group:
        group = gathering.groups[key] = Group(key)
        self._account.accept(1, group.size)
        self._groups += 1
        self._keys[gathering.start_ns] += 1
        self._bytes += group.size
        self._set_fold_at()
        return group

    @property
    def _is_full(self) -> bool:
        return self._bytes >= self._max_bytes

    def _forget_said(self) -> None:
        self._said_bytes = 0
        for gathering in self._gatherings.values():
            gathering.said.clear()

    def _set_fold_at(self) -> None:
        self._fold_at = max(8, min(most_waiting_in_group, max_waiting // (self._groups or 1)))

    def _held(self) -> Amount:
        return Amount(self._groups, self._bytes)


def _learn(gathering: _Gathering, meta: dict[str, str]) -> None:
    if not gathering.git_commit_sha:
        gathering.git_commit_sha = meta.get("_dd.git.commit.sha", "")
    if not gathering.process_tags:
        gathering.process_tags = meta.get("_dd.tags.process", "")


def _weight(rate: float) -> float:
    """How many spans one stands for whose tracer has kept only this share and dropped the others itself."""
    return min(1 / rate, max_weight) if 0 < rate < 1 else 1.0
