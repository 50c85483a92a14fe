"""Ingest: datagrams → feeds of the aggregator; every line is taken or counted by its reason. Pure.

Rules of this file:
- A metric whose name and fields came before, byte for byte, costs two dict hits: they lead to its feed. A line with a
  value of one digit (most counters) that came before as it is costs one.
- One bad line costs that line alone. What the account accepts are values: a line with three is three samples, a line
  that is refused is one.
- What is remembered is bounded in entries and in bytes; past that all of it is forgotten at once and learnt again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ddx_core import log
from ddx_core.stats import Account

from ..aggregator import Aggregator
from ..context import Context, TooManyTags, make_context
from ..feeds import Feed
from ..sample import MetricType
from ..settings import LineSettings
from .namespace import NameFilter, Namespace
from .parse import Form, Refusal, parse_form, parse_time, parse_values, split_time
from .sender import sender_tags

# The platform's own events tell of invocations; libraries that also send this one would have them counted twice.
_filtered: Final = frozenset([b"aws.lambda.enhanced.invocations"])

# What JSON calls a number the protocol calls one too, and means the same; its decoder is three times as fast as `float`. But for
# blanks around it; and beyond this length the protocol has no numbers.
_plain_number: Final = msgspec.json.Decoder(float)
_longest_plain: Final = 300
_bytes_per_known: Final = 400
_max_repeated: Final = 8_192
_longest_repeated: Final = 512
_max_texts: Final = 2_048
# The platform's names and tags have 200 characters at most.
_longest_text: Final = 256

Admit = Callable[[], bool]
"""Asked before a line of one metric is taken: False refuses it, counted as filtered."""

TakeOther = Callable[[bytes, int], bool]
"""Takes a line that is an event or a service check, which arrived at the given time (Unix seconds). False: malformed."""


class Ingest:
    """Takes datagrams of one or more metrics. Remembers up to `max_known` spellings of contexts.

    Events and service checks go to `take_event` and `take_check`, which count them as accepted; without, they are refused.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        account: Account,
        settings: LineSettings | None = None,
        *,
        take_event: TakeOther | None = None,
        take_check: TakeOther | None = None,
        max_known: int = 20_480,
    ) -> None:
        self._aggregator = aggregator
        self._account = account
        settings = settings or LineSettings()
        self._namespace = Namespace(settings.namespace, settings.no_namespace)
        self._not_wanted = NameFilter(settings.blocklist, matches_prefix=settings.blocks_prefixes)
        self._takes_times = settings.takes_times
        self._sender_cardinality = settings.sender_cardinality
        self._take_event = take_event
        self._take_check = take_check
        self._now_s = 0
        self._admit: dict[bytes, Admit] = {}
        self._max_known = max_known
        self._feeds: dict[bytes, dict[bytes, Feed]] = {}
        """Name → rest of the line → feed; only for lines whose values are numbers and that carry no time."""
        self._sets: dict[tuple[bytes, bytes], Feed] = {}
        self._known = 0
        self._known_bytes = 0
        self._repeated: dict[bytes, tuple[list[Any], float]] = {}
        """Whole lines of counters and the like, as they are → the values of their feed, their value."""
        self._texts: dict[str, str] = {}

    def ask_before(self, name: str, admit: Admit) -> None:
        """From here on, take lines of the metric with this name only if `admit` says so."""
        self._admit[name.encode()] = admit
        self._feeds.pop(name.encode(), None)
        self._repeated.clear()

    def take(self, datagrams: Sequence[bytes], now_s: int) -> None:
        """Take in datagrams that arrived at `now_s` (Unix seconds), in order of arrival."""
        self._now_s = now_s
        if self._aggregator.advance(now_s):
            # The lines that repeat now need not be those that did before.
            self._repeated.clear()
        size = sum(map(len, datagrams))
        lines = datagrams
        # Mostly either all are one line, or the first one is not already.
        if datagrams and (b"\n" in datagrams[0] or b"\n" in b"".join(datagrams)):
            joined = b"\n".join(datagrams)
            lines = joined.split(b"\n")
            # What separates lines of one datagram counts as bytes, what was put between datagrams does not.
            size = len(joined) - (len(datagrams) - 1)
        feeds = self._feeds
        repeated = self._repeated
        repeats = repeated.get
        number = _plain_number.decode
        others = 0
        others_size = 0
        for line in lines:
            repeat = repeats(line)
            if repeat is not None:
                repeat[0].append(repeat[1])
                continue
            name, _, tail = line.partition(b":")
            text, _, rest = tail.partition(b"|")
            try:
                feed = feeds[name][rest]
                digits = len(text)
                if digits <= _longest_plain and text.strip() is text:
                    value = number(text)
                    feed.values.append(value)
                    if digits == 1 and len(repeated) < _max_repeated and len(line) <= _longest_repeated:
                        repeated[line] = (feed.values, value)
                    continue
            except (KeyError, msgspec.MsgspecError):
                pass
            others += 1
            if line:
                others_size += len(line)
                self._take_other(line)
        plain = len(lines) - others
        if plain:
            self._account.accept(plain, size - others_size)
            self._aggregator.fed(plain)

    def _take_other(self, line: bytes) -> None:
        """A line that was not seen before, or has several values, a time, text for a value; or is no metric at all."""
        try:
            refusal = self._take_line(line[:-1] if line.endswith(b"\r") else line, len(line))
        except Exception as bug:
            log.error("dogstatsd_line_failed", exc_info=bug)
            self._account.refuse("internal_error", 1, len(line))
            return
        if refusal is not None:
            self._account.refuse(refusal.value, 1, len(line))

    def _take_line(self, line: bytes, size: int) -> Refusal | None:
        if line.startswith(b"_e{"):
            return self._hand_over(line, self._take_event, Refusal.EVENT)
        if line.startswith(b"_sc|"):
            return self._hand_over(line, self._take_check, Refusal.SERVICE_CHECK)
        head, _, rest = line.partition(b"|")
        name, _, text = head.partition(b":")
        if not name or not text or not rest:
            return None if not line else Refusal.MALFORMED
        found = self._find(name, rest)
        if not isinstance(found, tuple):
            return found
        feed, time_s = found
        if feed.context.type is MetricType.SET:
            try:
                values, not_finite = [text.decode()], 0
            except UnicodeDecodeError:
                return Refusal.MALFORMED
        else:
            parsed = parse_values(text)
            if parsed is None:
                return Refusal.MALFORMED
            values, not_finite = parsed
        admit = self._admit.get(name)
        if values and admit is not None and not admit():
            return Refusal.FILTERED
        if not_finite:
            self._account.refuse(Refusal.NOT_FINITE.value, not_finite, 0)
        self._account.accept(len(values), size)
        if not values:
            return None
        # Feeds are bounded in values: text of any length is put where its bytes count.
        if time_s is None and (feed.context.type is not MetricType.SET or len(text) <= _longest_text):
            feed.values.extend(values)
            self._aggregator.fed(len(values))
        else:
            self._aggregator.add(feed.context, values, feed.rate, time_s)
        return None

    def _hand_over(self, line: bytes, take: TakeOther | None, refusal: Refusal) -> Refusal | None:
        if take is None:
            return refusal
        return None if take(line, self._now_s) else Refusal.MALFORMED

    def _find(self, name: bytes, rest: bytes) -> tuple[Feed, int | None] | Refusal:
        """The feed for a line, and the time it states."""
        stem, time_text = split_time(rest)
        time_s: int | None = None
        if time_text is not None:
            time_s = parse_time(time_text)
            if time_s is None:
                return Refusal.MALFORMED
            if not self._takes_times:
                time_s = None
        spellings = self._feeds.get(name)
        feed = spellings.get(stem) if spellings is not None else None
        if feed is None:
            feed = self._sets.get((name, stem))
        if feed is not None:
            return feed, time_s
        if name in _filtered:
            return Refusal.FILTERED
        form = parse_form(stem)
        if form is None:
            return Refusal.MALFORMED
        try:
            full_name = self._namespace.apply(name.decode())
            if self._not_wanted.blocks(full_name):
                return Refusal.FILTERED
            context = self._context(full_name, form, stem)
        except UnicodeDecodeError:
            return Refusal.MALFORMED
        except TooManyTags:
            return Refusal.TOO_MANY_TAGS
        return self._learn(name, stem, context, form.rate), time_s

    def _context(self, name: str, form: Form, rest: bytes) -> Context:
        if len(self._texts) > _max_texts:
            self._texts.clear()
        sender: Sequence[str] = ()
        if self._sender_cardinality is not None:
            sender = sender_tags(rest.split(b"|")[1:], self._sender_cardinality)
        shared = self._shared
        return make_context(shared(name), form.type, map(shared, form.tags), map(shared, sender))

    def _shared(self, text: str) -> str:
        """Contexts share names and tags; so should the memory they lie in."""
        return self._texts.setdefault(text, text) if len(text) <= _longest_text else text

    def _learn(self, name: bytes, rest: bytes, context: Context, rate: float) -> Feed:
        if self._known >= self._max_known or self._known_bytes >= self._max_known * _bytes_per_known:
            self._feeds.clear()
            self._sets.clear()
            self._repeated.clear()
            self._known = self._known_bytes = 0
            self._aggregator.forget_feeds()
        feed = self._aggregator.feed(context, rate)
        if context.type is MetricType.SET:
            self._sets[name, rest] = feed
        elif name not in self._admit:
            self._feeds.setdefault(name, {})[rest] = feed
        self._known += 1
        self._known_bytes += len(name) + len(rest)
        return feed
