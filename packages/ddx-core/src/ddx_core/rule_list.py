"""Lists of rules as users write them: JSON in a variable, or a tree from a file. Pure.

Rule: one bad rule costs itself alone. What is said of it names its place and its name and never quotes its pattern, which may
hold the very words that it is there to hide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from .regex import Matcher

R = TypeVar("R")


def parse_rule_list(
    raw: object, parse_one: Callable[[Mapping[Any, Any]], R], *, example: str, keys: str
) -> tuple[tuple[R, ...], tuple[str, ...]]:
    """The rules in JSON text or in a tree (a list of maps), and what is wrong with those left out.

    `parse_one` raises ValueError for a map that is no rule. `example` is a list of one rule, `keys` names what a rule has.
    """
    expected = f"expected a list of rules, like {example}"
    tree: Any = raw
    if isinstance(raw, str):
        if not raw.strip():
            return (), ()
        try:
            tree = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            return (), (f"no JSON: {expected}",)
    if not isinstance(tree, (list, tuple)):
        return (), (expected,)
    rules: list[R] = []
    problems: list[str] = []
    for number, entry in enumerate(cast(Sequence[Any], tree), 1):
        if not isinstance(entry, dict):
            problems.append(f"rule {number}: expected a map with {keys}")
            continue
        fields = cast(dict[Any, Any], entry)
        try:
            rules.append(parse_one(fields))
        except ValueError as error:
            name = fields.get("name")
            told = f" ({name[:100]})" if isinstance(name, str) and name else ""
            problems.append(f"rule {number}{told}: {error}")
    return tuple(rules), tuple(problems)


def text_field(fields: Mapping[Any, Any], name: str) -> str:
    """A field that a rule must have. Raises ValueError."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing or no text")
    return value


def compile_pattern(pattern: str, replacement: str = "") -> Matcher:
    """Raises ValueError for a pattern that is none, and where the engine is missing."""
    # Here and not above: most functions have no rules, and the engine is 10 ms of a cold start.
    try:
        from .regex import Matcher
    except ImportError:
        raise ValueError("patterns need the package google-re2, which is not installed") from None
    return Matcher(pattern, replacement)
