"""Whole traces that the user does not want, told by their root span (DD_APM_FILTER_TAGS_*, DD_APM_IGNORE_RESOURCES). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ddx_core.rule_list import compile_pattern

from ..span import Span

if TYPE_CHECKING:
    from ddx_core.regex import Matcher


most_entries: Final = 1000
"""Of one list. A pattern takes some 30 microseconds at the start, and every trace may be searched for all of them."""


class TagRule(msgspec.Struct, frozen=True):
    """A tag, or a field (`name`, `service`, `resource`, `type`), and what it must be; None: anything at all."""

    key: str
    value: str | None = None

    def __str__(self) -> str:
        return self.key if self.value is None else f"{self.key}:{self.value}"


class FilterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A trace is kept when its root has all that is required and nothing of what is rejected.

    Values of `…_regex` rules are patterns, searched in the tag's value, as are `ignore_resources` in the resource.
    """

    require: tuple[TagRule, ...] = ()
    reject: tuple[TagRule, ...] = ()
    require_regex: tuple[TagRule, ...] = ()
    reject_regex: tuple[TagRule, ...] = ()
    ignore_resources: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.require, self.reject, self.require_regex, self.reject_regex, self.ignore_resources))

    def describe(self) -> dict[str, object]:
        """As tracers are told, so that those which count their own traces leave out the same."""
        told: dict[str, object] = {}
        for name, require, reject in (
            ("filter_tags", self.require, self.reject),
            ("filter_tags_regex", self.require_regex, self.reject_regex),
        ):
            if require or reject:
                told[name] = {
                    "require": [str(each) for each in require],
                    "reject": [str(each) for each in reject],
                }
        if self.ignore_resources:
            told["ignore_resources"] = list(self.ignore_resources)
        return told


def parse_tag_rules(entries: Sequence[str], *, are_patterns: bool) -> tuple[tuple[TagRule, ...], tuple[str, ...]]:
    """Entries like `key:value` or `key`, split at the first colon; and what is wrong with those left out."""
    rules: list[TagRule] = []
    problems = _too_many(entries)
    for number, entry in enumerate(entries[:most_entries], 1):
        key, colon, value = (part.strip() for part in entry.partition(":"))
        if not key:
            problems.append(f"entry {number} has no key: expected key:value or key")
            continue
        rule = TagRule(key, value if colon else None)
        try:
            if are_patterns and rule.value is not None:
                compile_pattern(rule.value)
            rules.append(rule)
        except ValueError as error:
            problems.append(f"entry {number} ({key[:100]}): {error}")
    return tuple(rules), tuple(problems)


def parse_patterns(entries: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that are regular expressions, and what is wrong with the others."""
    patterns: list[str] = []
    problems = _too_many(entries)
    for number, entry in enumerate(entries[:most_entries], 1):
        try:
            compile_pattern(entry)
            patterns.append(entry)
        except ValueError as error:
            problems.append(f"entry {number}: {error}")
    return tuple(patterns), tuple(problems)


def _too_many(entries: Sequence[str]) -> list[str]:
    left = len(entries) - most_entries
    return [] if left <= 0 else [f"{left} of {len(entries)} entries are too many: a list has at most {most_entries}"]


class TraceFilter:
    """Raises ValueError for a pattern that does not compile (the parsers let none through)."""

    def __init__(self, settings: FilterSettings) -> None:
        self._require = settings.require
        self._reject = settings.reject
        self._require_regex = _compile_all(settings.require_regex)
        self._reject_regex = _compile_all(settings.reject_regex)
        self._ignored = [compile_pattern(pattern) for pattern in settings.ignore_resources]

    def rejects(self, root: Span) -> bool:
        """Whether the root's trace is to be left out. The root is normalised and has none of our own tags yet."""
        return (
            any(not _equals(root, rule) for rule in self._require)
            or any(not _matches(root, key, matcher) for key, matcher in self._require_regex)
            or any(_equals(root, rule) for rule in self._reject)
            or any(_matches(root, key, matcher) for key, matcher in self._reject_regex)
            or self._ignores(root.resource or root.name)
        )

    def _ignores(self, resource: str) -> bool:
        if not self._ignored:
            return False
        text = resource.encode("utf-8", "replace")
        return any(matcher.matches(text) for matcher in self._ignored)


def _equals(span: Span, rule: TagRule) -> bool:
    return any(rule.value is None or value == rule.value for value in _values(span, rule.key))


def _matches(span: Span, key: str, matcher: Matcher | None) -> bool:
    return any(matcher is None or matcher.matches(value.encode("utf-8", "replace")) for value in _values(span, key))


def _values(span: Span, key: str) -> list[str]:
    """What stands under a key: the tag, and the field of that name unless it is empty."""
    values: list[str] = []
    value = span.meta.get(key)
    if value is not None:
        values.append(value)
    match key:
        case "name":
            field = span.name
        case "service":
            field = span.service
        case "resource":
            field = span.resource
        case "type":
            field = span.type
        case _:
            field = ""
    if field:
        values.append(field)
    return values


def _compile_all(rules: Sequence[TagRule]) -> list[tuple[str, Matcher | None]]:
    return [(rule.key, None if rule.value is None else compile_pattern(rule.value)) for rule in rules]
