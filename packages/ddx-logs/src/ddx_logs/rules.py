"""Processing rules: which lines are left out, and what is masked in those that stay. Pure.

Rules act in their order, each on what the one before it left, on the text alone. The engine (RE2) takes time linear in the
text for every search, whatever the pattern, and is loaded only where there are rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

import msgspec

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


_expected = "expected a list of rules, like [" + (
    '{"type": "mask_sequences", "name": "cards", "pattern": "\\\\d{16}", "replace_placeholder": "****"}]'
)


def parse_rules(raw: object) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The rules in JSON text or in a tree (a list of maps), and what is wrong with those left out.

    A problem names a rule by its place and name and never quotes its pattern.
    """
    tree: Any = raw
    if isinstance(raw, str):
        if not raw.strip():
            return (), ()
        try:
            tree = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            return (), (f"no JSON: {_expected}",)
    if not isinstance(tree, (list, tuple)):
        return (), (_expected,)
    rules: list[Rule] = []
    problems: list[str] = []
    for number, entry in enumerate(cast(Sequence[Any], tree), 1):
        try:
            rules.append(_rule(entry))
        except ValueError as error:
            problems.append(f"rule {number}{_name_in(entry)}: {error}")
    return tuple(rules), tuple(problems)


class Rules:
    """Compiled rules. Raises ValueError when made with a rule that does not compile (`parse_rules` lets none through)."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._steps = [(rule.type, _compile(rule)) for rule in rules]

    def apply(self, text: str) -> str | None:
        """The text with everything masked; None when the line is to be left out."""
        raw = text.encode("utf-8", "replace")
        before = raw
        for kind, matcher in self._steps:
            match kind:
                case RuleType.MASK_SEQUENCES:
                    raw = matcher.mask(raw)
                case RuleType.EXCLUDE_AT_MATCH:
                    if matcher.matches(raw):
                        return None
                case RuleType.INCLUDE_AT_MATCH:
                    if not matcher.matches(raw):
                        return None
        return text if raw is before else raw.decode("utf-8", "replace")


def _compile(rule: Rule) -> Matcher:
    # Here and not above: most functions have no rules, and the engine is 10 ms of a cold start.
    try:
        from ddx_core.regex import Matcher
    except ImportError:
        raise ValueError("rules need the package google-re2, which is not installed") from None
    placeholder = rule.placeholder if rule.type is RuleType.MASK_SEQUENCES else ""
    return Matcher(rule.pattern, placeholder, cut_marker=truncation_marker)


def _rule(entry: Any) -> Rule:
    if not isinstance(entry, dict):
        raise ValueError("expected a map with type, name and pattern")
    fields = cast(dict[Any, Any], entry)
    kind = _text(fields, "type")
    if kind not in tuple(RuleType):
        raise ValueError(f"type {kind[:40]!r}: expected one of {', '.join(RuleType)}")
    name = _text(fields, "name")
    pattern = _text(fields, "pattern")
    placeholder = "" if fields.get("replace_placeholder") is None else _text(fields, "replace_placeholder")
    rule = Rule(RuleType(kind), name, pattern, placeholder)
    _compile(rule)
    return rule


def _text(fields: dict[Any, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing or no text")
    return value


def _name_in(entry: Any) -> str:
    name = cast(dict[Any, Any], entry).get("name") if isinstance(entry, dict) else None
    return f" ({name[:100]})" if isinstance(name, str) and name else ""
