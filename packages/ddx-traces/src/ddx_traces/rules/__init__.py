"""What users want of spans: traces left out by tag, tags rewritten by pattern. Pure; light enough to be read by configuration."""

from .replace import Replacer, ReplaceRule, parse_replace_rules
from .tag_filter import FilterSettings, TagRule, TraceFilter, parse_patterns, parse_tag_rules

__all__ = [
    "FilterSettings",
    "ReplaceRule",
    "Replacer",
    "TagRule",
    "TraceFilter",
    "parse_patterns",
    "parse_replace_rules",
    "parse_tag_rules",
]
