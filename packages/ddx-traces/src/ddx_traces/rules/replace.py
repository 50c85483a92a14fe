"""Users' rules that rewrite tags and resources (DD_APM_REPLACE_TAGS). Pure.

Rules act in their order, each on what the one before it left. The engine is linear in the text and is loaded only where there
are rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ddx_core.rule_list import compile_pattern, parse_rule_list, text_field

from ..obfuscate.cache import Remembered
from ..span import Span

all_tags: Final = "*"
resource_name: Final = "resource.name"

# Half of the trace's id and its sampling decision travel in these: rewritten, they would tear traces apart.
_propagated: Final = "_dd.p."


class ReplaceRule(msgspec.Struct, frozen=True):
    """`name` is a tag's, or `resource.name`, or `*` for all of them; `repl` may refer to groups (`$1`, `${name}`)."""

    name: str
    pattern: str
    repl: str = ""

    def __repr__(self) -> str:
        # A pattern may hold the very words that it is there to hide.
        return f"ReplaceRule({self.name!r})"


_example: Final = '[{"name": "http.url", "pattern": "token/[^/]*", "repl": "token/?"}]'


def parse_replace_rules(raw: object) -> tuple[tuple[ReplaceRule, ...], tuple[str, ...]]:
    """The rules in JSON text or in a tree (a list of maps), and what is wrong with those left out."""
    return parse_rule_list(raw, _rule, example=_example, keys="name, pattern and repl")


class Replacer:
    """Compiled rules. Raises ValueError for a rule that does not compile (`parse_replace_rules` lets none through)."""

    def __init__(self, rules: Sequence[ReplaceRule]) -> None:
        # Most values come again and again; the engine is asked once.
        self._rules = [
            (rule.name, Remembered(compile_pattern(rule.pattern, rule.repl).replace, max_bytes=remembered_bytes))
            for rule in rules
        ]

    def apply(self, span: Span) -> None:
        for name, replaced in self._rules:
            if name == resource_name:
                span.resource = replaced[span.resource]
            elif name == all_tags:
                span.resource = replaced[span.resource]
                meta = span.meta
                for key, value in meta.items():
                    if not key.startswith(_propagated):
                        meta[key] = replaced[value]
                # Those that begin with `_` are the tracers' own, and no text of anybody's.
                for key in [key for key in span.metrics if not key.startswith("_")]:
                    _replace_number(span, key, replaced)
            else:
                value = span.meta.get(name)
                if value is not None:
                    span.meta[name] = replaced[value]
                if name in span.metrics:
                    _replace_number(span, name, replaced)

    def replace_resource(self, resource: str) -> str:
        for name, replaced in self._rules:
            if name in (all_tags, resource_name):
                resource = replaced[resource]
        return resource

    def replace_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The same rules for tags that spans get without passing here."""
        changed = dict(tags)
        for name, replaced in self._rules:
            for key in changed if name == all_tags else [name] if name in changed else ():
                changed[key] = replaced[changed[key]]
        return changed


remembered_bytes: Final = 256 << 10


def _replace_number(span: Span, key: str, replaced: Remembered) -> None:
    """A number is replaced as text; what is a number no more moves to the texts."""
    text = _text_of(span.metrics[key])
    result = replaced[text]
    if result == text:
        return
    try:
        number = float(result)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        span.metrics[key] = number
    else:
        del span.metrics[key]
        span.meta[key] = result


def _text_of(number: float) -> str:
    """Without exponent, and without a point where nothing comes after it."""
    if math.isfinite(number) and number == int(number) and abs(number) < 1e15:
        return str(int(number))
    text = repr(number)
    if "e" not in text:
        return text
    from decimal import Decimal  # few numbers need it

    return format(Decimal(text), "f")


def _rule(fields: Mapping[Any, Any]) -> ReplaceRule:
    name = text_field(fields, "name")
    if not name:
        raise ValueError("name is empty")
    rule = ReplaceRule(name, text_field(fields, "pattern"), text_field(fields, "repl"))
    compile_pattern(rule.pattern, rule.repl)
    return rule
