"""Processing: what happens to a span between a receiver and the buffer. Pure."""

from .dedup import Admitted, SeenSpans
from .filter import OwnCalls
from .normalize import Normalizer
from .pointers import SpanPointer, attach_pointers, hash_components
from .processor import Processed, Processor
from .replace import Replacer, ReplaceRule, parse_replace_rules
from .tag_filter import FilterSettings, TagRule, TraceFilter, parse_patterns, parse_tag_rules
from .tags import SpanTags, choose_base_service

__all__ = [
    "Admitted",
    "FilterSettings",
    "Normalizer",
    "OwnCalls",
    "Processed",
    "Processor",
    "ReplaceRule",
    "Replacer",
    "SeenSpans",
    "SpanPointer",
    "SpanTags",
    "TagRule",
    "TraceFilter",
    "attach_pointers",
    "choose_base_service",
    "hash_components",
    "parse_patterns",
    "parse_replace_rules",
    "parse_tag_rules",
]
