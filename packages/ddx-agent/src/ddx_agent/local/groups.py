"""Exception groups at the doors of the local servers: a context manager that hides a nursery raises what its block raised."""

from __future__ import annotations


def only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception in a group, however deep; the group itself when there are several."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        inner: tuple[BaseException, ...] = found.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if len(inner) != 1:
            return group
        found = inner[0]
    return found
