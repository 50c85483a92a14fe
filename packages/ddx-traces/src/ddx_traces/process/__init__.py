"""Processing: what happens to a span between a receiver and the buffer. Pure."""

from .dedup import Admitted, SeenSpans
from .filter import OwnCalls
from .normalize import Normalizer
from .processor import Processed, Processor
from .tags import SpanTags, choose_base_service

__all__ = [
    "Admitted",
    "Normalizer",
    "OwnCalls",
    "Processed",
    "Processor",
    "SeenSpans",
    "SpanTags",
    "choose_base_service",
]
