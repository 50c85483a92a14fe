"""A table of routes: method and path to a handler with its own body limit. Pure; the server asks it before it reads a body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

import msgspec

from .message import Request, Response

Handler = Callable[[Request], Awaitable[Response]]

any_method = "*"


class Oversize(Enum):
    """What to do with a body above the route's limit."""

    REFUSE = "refuse"
    """Answer 413 and close."""
    DISCARD = "discard"
    """Read and throw away the body, then call the handler with an empty one and `truncated` set."""


class Route(msgspec.Struct, frozen=True):
    """`methods` may hold `*` (any). `path` segments: plain text, `{name}` (one segment), and `{name*}` last (the rest).

    `too_large` is what a 413 says.
    """

    methods: tuple[str, ...]
    path: str
    handler: Handler
    max_body: int = 1 << 20
    oversize: Oversize = Oversize.REFUSE
    too_large: str = "length limit exceeded"


class Match(msgspec.Struct, frozen=True):
    route: Route
    params: dict[str, str]


class NoMatch(msgspec.Struct, frozen=True):
    """404, or 405 when `allowed` names the methods that this path does take."""

    allowed: tuple[str, ...] = ()


class Routes:
    """Finds the first route, in the order given, whose path and method fit."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, list[Route]] = {}
        self._patterns: list[tuple[tuple[str, ...], Route]] = []
        for route in routes:
            if "{" in route.path:
                self._patterns.append((tuple(route.path.split("/")), route))
            else:
                self._exact.setdefault(route.path, []).append(route)

    def find(self, method: str, path: str) -> Match | NoMatch:
        allowed: list[str] = []
        for route in self._exact.get(path, ()):
            if method in route.methods or any_method in route.methods:
                return Match(route, {})
            allowed.extend(route.methods)
        if self._patterns:
            segments = path.split("/")
            for pattern, route in self._patterns:
                params = _fit(pattern, segments)
                if params is None:
                    continue
                if method in route.methods or any_method in route.methods:
                    return Match(route, params)
                allowed.extend(route.methods)
        return NoMatch(tuple(dict.fromkeys(allowed)))


def _fit(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if part.endswith("*}"):
            if index >= len(segments):
                return None
            params[part[1:-2]] = "/".join(segments[index:])
            return params
        if index >= len(segments):
            return None
        if part.startswith("{"):
            if not segments[index]:
                return None
            params[part[1:-1]] = segments[index]
        elif part != segments[index]:
            return None
    return params if len(segments) == len(pattern) else None
