"""Processing: what happens to a span between a receiver and the buffer. Pure."""

from .dedup import Admitted, SeenSpans
from .filter import OwnCalls
from .normalize import Normalizer
from .outline import Outliner, TraceOutline
from .pointers import SpanPointer, attach_pointers, hash_components
from .processor import Processed, Processor
from .tags import SpanTags, choose_base_service

__all__ = [
    "Admitted",
    "Normalizer",
    "Outliner",
    "OwnCalls",
    "Processed",
    "Processor",
    "SeenSpans",
    "SpanPointer",
    "SpanTags",
    "TraceOutline",
    "attach_pointers",
    "choose_base_service",
    "hash_components",
]
