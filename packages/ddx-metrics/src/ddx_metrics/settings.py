"""MetricsSettings and its parts: what the pipeline can be told; the defaults are the documented ones. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

whole_datagrams: Final = 65_507
"""The largest payload of a UDP datagram."""


class ReceiverSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are read from sockets.

    `max_bytes` of one datagram or frame are taken; of a longer datagram, the lines that are whole. At most
    `round_datagrams` are read before others have their turn. `needs_eol`: a last line without newline is not taken.
    """

    max_bytes: int = 65_535
    round_datagrams: int = 512
    needs_eol: bool = False


class Cardinality(StrEnum):
    """How much about its sender is put on a metric as tags."""

    NONE = "none"
    LOW = "low"
    ORCHESTRATOR = "orchestrator"
    HIGH = "high"


class LineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is made of DogStatsD's lines.

    `namespace` goes before the names of metrics, but for those that begin with one of `no_namespace` (None: those of
    Datadog's own software). `blocklist` are names of metrics, namespace included, that are not taken (of what they begin
    with, if `blocks_prefixes`). `takes_times`: a time that a line states decides its bucket. `sender_cardinality`: how many
    tags are made of the container that a line names, unless the line says how many; None: none, whatever it says.
    """

    namespace: str | None = None
    no_namespace: tuple[str, ...] | None = None
    blocklist: tuple[str, ...] = ()
    blocks_prefixes: bool = False
    takes_times: bool = True
    sender_cardinality: Cardinality | None = None


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`max_contexts` counts a context once for each 10-second bucket it has values in; `max_bytes` is about the memory
    that aggregation may take. `max_tag_sets` bounds the contexts of one name. `copies_to`: values of histograms go into a
    distribution, too, of the same name behind this prefix.

    `exclude_tags` are keys of base tags that custom metrics do without.
    `origin_category` is the platform's number in origin metadata (see origin.py); None sends no such metadata.
    `histogram_aggregates` are of max, min, median, avg, sum, count; `histogram_percentiles` whole numbers of 1 to 100.
    `series_as_json` sends series as JSON in place of protobuf, for debugging and gateways.

    `events_bytes` is what events, and what service checks, may take while they wait.
    """

    receiver: ReceiverSettings = ReceiverSettings()
    lines: LineSettings = LineSettings()
    max_contexts: int = 10_240
    max_bytes: int = 33_554_432
    max_tag_sets: int | None = None
    copies_to: str | None = None
    exclude_tags: frozenset[str] = frozenset()
    origin_category: int | None = None
    histogram_aggregates: tuple[str, ...] = ("max", "median", "avg", "count")
    histogram_percentiles: tuple[int, ...] = (95,)
    series_as_json: bool = False
    events_bytes: int = 1_048_576
