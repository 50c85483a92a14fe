"""TagSet: an ordered set of `key:value` tags, deduplicated, rendered once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class TagSet:
    """Tags by key, in the order in which keys first came; a later value for a key replaces the earlier one.

    A tag without a value is kept as its key alone. Nothing is normalised: what the user wrote is what is sent.
    """

    __slots__ = ("_joined", "_rendered", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = dict(pairs)
        self._rendered: tuple[str, ...] | None = None
        self._joined: str | None = None

    @property
    def rendered(self) -> tuple[str, ...]:
        """Each tag as text."""
        if self._rendered is None:
            self._rendered = tuple(f"{key}:{value}" if value else key for key, value in self._values.items())
        return self._rendered

    @property
    def joined(self) -> str:
        """All tags, comma-separated: the form of `ddtags`."""
        if self._joined is None:
            self._joined = ",".join(self.rendered)
        return self._joined

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._values.items())

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> str | None:
        return self._values.get(key)

    def with_tags(self, pairs: Iterable[tuple[str, str]]) -> TagSet:
        return TagSet([*self._values.items(), *pairs])

    def without(self, keys: Iterable[str]) -> TagSet:
        left_out = set(keys)
        return TagSet((key, value) for key, value in self._values.items() if key not in left_out)

    def __eq__(self, other: object) -> bool:
        # The order counts: it is what is rendered, and what the hash is made of.
        return isinstance(other, TagSet) and [*self._values.items()] == [*other._values.items()]

    def __hash__(self) -> int:
        return hash(self.joined)

    def __repr__(self) -> str:
        return f"TagSet({self.joined!r})"
