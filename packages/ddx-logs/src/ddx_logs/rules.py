"""Processing rules: which lines are left out, and what is masked in those that stay. Pure.

Rules act in their order, each on what the one before it left, on the text alone. The engine (RE2) takes time linear in the
text for every search, whatever the pattern, and is loaded only where there are rules. A text with so many matches, each so
expensive, that a mask cannot be done with it in time is cut where the mask stopped: nothing leaves that was not searched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ddx_core.rule_list import compile_pattern, parse_rule_list, text_field

from .encode import truncation_marker

if TYPE_CHECKING:
    from ddx_core.regex import Matcher


class RuleType(StrEnum):
    EXCLUDE_AT_MATCH = "exclude_at_match"
    """A line that the pattern matches is left out."""
    INCLUDE_AT_MATCH = "include_at_match"
    """A line that the pattern does not match is left out."""
    MASK_SEQUENCES = "mask_sequences"
    """Every match is replaced by the placeholder."""


class Rule(msgspec.Struct, frozen=True):
    """`pattern` is what the user wrote; `placeholder` may refer to its groups (`$1`, `${name}`)."""

    type: RuleType
    name: str
    pattern: str
    placeholder: str = ""

    def __repr__(self) -> str:
        # A pattern may hold the very words that it is there to hide.
        return f"Rule({self.type.value} {self.name!r})"


_example: Final = '[{"type": "mask_sequences", "name": "cards", "pattern": "\\\\d{16}", "replace_placeholder": "****"}]'


def parse_rules(raw: object) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The rules in JSON text or in a tree (a list of maps), and what is wrong with those left out."""
    return parse_rule_list(raw, _rule, example=_example, keys="type, name and pattern")


class Rules:
    """Compiled rules. Raises ValueError when made with a rule that does not compile (`parse_rules` lets none through)."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._steps = [(rule.type, _compile(rule)) for rule in rules]
        self.truncated = 0
        """How many texts were cut, of those that were not left out."""

    def apply(self, text: str) -> str | None:
        """The text with everything masked; None when the line is to be left out."""
        raw = text.encode("utf-8", "replace")
        before = raw
        is_whole = True
        for kind, matcher in self._steps:
            match kind:
                case RuleType.MASK_SEQUENCES:
                    raw, is_masked_whole = matcher.mask(raw)
                    is_whole = is_whole and is_masked_whole
                case RuleType.EXCLUDE_AT_MATCH:
                    if matcher.matches(raw):
                        return None
                case RuleType.INCLUDE_AT_MATCH:
                    # What it looks for may have stood in the part that was cut off.
                    if is_whole and not matcher.matches(raw):
                        return None
        if not is_whole:
            self.truncated += 1
            raw += truncation_marker
        return text if raw is before else raw.decode("utf-8", "replace")


def _compile(rule: Rule) -> Matcher:
    placeholder = rule.placeholder if rule.type is RuleType.MASK_SEQUENCES else ""
    return compile_pattern(rule.pattern, placeholder)


def _rule(fields: Mapping[Any, Any]) -> Rule:
    kind = text_field(fields, "type")
    if kind not in tuple(RuleType):
        raise ValueError(f"type {kind[:40]!r}: expected one of {', '.join(RuleType)}")
    name = text_field(fields, "name")
    pattern = text_field(fields, "pattern")
    placeholder = "" if fields.get("replace_placeholder") is None else text_field(fields, "replace_placeholder")
    rule = Rule(RuleType(kind), name, pattern, placeholder)
    _compile(rule)
    return rule
