"""Context: what values must have in common to be combined: name, type, tags and resources. Pure.

Rule: tags and resources are sorted and without repeats, so that the order in which a client wrote them makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from .sample import MetricType, Sample

max_tags: Final = 100
_resource_tag: Final = "dd.internal.resource:"


class Context(msgspec.Struct, frozen=True, gc=False):
    """The type is part of it: a gauge and a distribution of one name never touch each other's values."""

    name: str
    type: MetricType
    tags: tuple[str, ...] = ()
    resources: tuple[tuple[str, str], ...] = ()
    """(type, name) pairs."""

    @property
    def size(self) -> int:
        """Roughly the memory it takes, in bytes."""
        return 200 + self.line_size + 60 * len(self.tags) + 200 * len(self.resources)

    @property
    def line_size(self) -> int:
        """Roughly the bytes of one value of it on the wire."""
        size = 8 + len(self.name) + sum(map(len, self.tags)) + len(self.tags)
        for kind, name in self.resources:
            size += len(_resource_tag) + len(kind) + len(name) + 2
        return size


class TooManyTags(ValueError):
    """More than 100 different tags and resources on one metric."""


def make_context(name: str, type: MetricType, tags: Iterable[str], added: Iterable[str] = ()) -> Context:
    """Raises TooManyTags. An empty value is no value (`key:` is `key`), an empty tag is none.

    `added` tags are none of the client's, so they do not count among the 100.
    `dd.internal.resource:<type>:<name>` tags become resources and never go out as tags, well-formed or not.
    """
    different: dict[str, None] = {}
    resources: set[tuple[str, str]] = set()
    for tag in tags:
        if tag.startswith(_resource_tag):
            kind, _, named = tag[len(_resource_tag) :].partition(":")
            if kind and named:
                resources.add((kind, named))
            continue
        if tag.endswith(":") and tag.find(":") == len(tag) - 1:
            tag = tag[:-1]
        if tag:
            different[tag] = None
    if len(different) + len(resources) > max_tags:
        raise TooManyTags
    return Context(name, type, tuple(sorted({*different, *added})), tuple(sorted(resources)))


def context_of(sample: Sample) -> Context:
    """The context of a sample made by code. Raises TooManyTags; text that UTF-8 cannot carry is replaced."""
    return make_context(encodable(sample.name), sample.type, map(encodable, sample.tags))


def encodable(text: str) -> str:
    """The text itself, or with `?` for lone surrogates (which undecodable environment variables turn into)."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()
