"""A library's request → what is sent on, and to which intake. Pure.

Rule of this file: what the library said is kept (query and repeated headers too) but for the headers of the connection it
came on, and those that hold secrets: the agent's own key goes in their place, and payloads may be written to disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote_plus

import msgspec

from ddx_core.errors import MalformedInput
from ddx_core.tags import TagSet

if TYPE_CHECKING:
    from ddx_core.http import Request

max_tags_characters: Final = 4_001
"""Of the tags in a query; the vendor's agent cuts there too."""

_not_sent_on: Final = frozenset({
    # Set by the client that sends.
    "host", "content-length", "content-type", "content-encoding", "accept", "accept-encoding",
    # Of the connection it came on.
    "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
    # Secrets.
    "authorization", "cookie", "dd-api-key", "dd-application-key",
    # Said anew, or meant for the agent alone.
    "x-datadog-additional-tags", "x-datadog-evp-subdomain", "x-datadog-needsappkey",
})  # fmt: skip

_subdomain: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_path: Final = re.compile(r"[A-Za-z0-9/_+.-]+")
_query: Final = re.compile(r'[A-Za-z0-9/_+@?&=.:,;%~*!()\[\]"\'-]*')

# Libraries send these without naming the intake.
_evp_of_path: Final = {
    "api/v2/llmobs": "llmobs-intake",
    "api/intake/llm-obs/v1/eval-metric": "api",
    "api/intake/llm-obs/v2/eval-metric": "api",
}


class NotForwardable(MalformedInput):
    """The request does not say, or not in a way that can be sent on, where it is to go."""


class Forwarding(msgspec.Struct, frozen=True, kw_only=True):
    """One request to be sent on. `target` names the intake; `path` has the query in it."""

    target: str
    path: str
    content_type: str
    encoding: str | None
    headers: tuple[tuple[str, str], ...]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the requests to one path of the trace agent: `about` is the kind's name in answers and logs.

    `origin`: the intake wants to know the part of the agent that passes a request on, and the function's tags: as `ddtags` in the
    query, or (not `tags_in_query`) in the header X-Datadog-Additional-Tags.
    """

    path: str
    about: str
    target: str
    to: str
    origin: str | None = None
    tags_in_query: bool = True


evp: Final = "evp"

rules: Final = (
    Rule(path="/v0.1/pipeline_stats", about="DSM", target="data-streams", to="/api/v0.1/pipeline_stats"),
    Rule(path="/profiling/v1/input", about="profiling", target="profiles", to="/api/v2/profile"),
    Rule(path="/telemetry/proxy/{rest*}", about="instrumentation", target="telemetry", to="/{rest}"),
    Rule(
        path="/debugger/v1/input", about="debugger_logs", target="debugger-logs", to="/api/v2/logs",
        origin="agent-debugger",
    ),
    Rule(
        path="/debugger/v1/diagnostics", about="debugger", target="debugger", to="/api/v2/debugger",
        origin="agent-debugger",
    ),
    Rule(
        path="/debugger/v2/input", about="debugger", target="debugger", to="/api/v2/debugger", origin="agent-debugger"
    ),
    Rule(
        path="/symdb/v1/input", about="symdb", target="debugger", to="/api/v2/debugger", origin="agent-symdb",
        tags_in_query=False,
    ),
    *(
        Rule(path=f"/evp_proxy/v{number}/{{rest*}}", about="evp", target=evp, to="/{rest}")
        for number in range(1, 5)
    ),
)  # fmt: skip


class Forwarder:
    """`tags` are the function's; `additional_tags` is the header of that name, in the form the vendor's extension gives it."""

    def __init__(self, *, tags: TagSet, additional_tags: str, new_id: Callable[[], str]) -> None:
        self.tags = tags
        self._additional_tags = additional_tags
        self._new_id = new_id

    def forward(self, rule: Rule, request: Request) -> Forwarding:
        """Raises NotForwardable."""
        headers = request.headers
        rest = request.params.get("rest", "")
        target = rule.target
        if target == evp:
            target = f"{evp}-{_choose_subdomain(rest, headers.get('x-datadog-evp-subdomain'))}"
        if rest and (not _path.fullmatch(rest) or ".." in rest.split("/")):
            raise NotForwardable("the path may hold letters, digits and / _ - + . only, and no part that is ..")
        query = request.query
        if not _query.fullmatch(query):
            raise NotForwardable("the query holds characters that cannot be sent on")
        of_connection = {name.strip().lower() for name in headers.get("connection", "").split(",")}
        kept = [
            (name, value)
            for name, value in headers.items_in_order
            if name not in _not_sent_on and name not in of_connection
        ]
        if rule.origin is None:
            kept.append(("x-datadog-additional-tags", self._additional_tags))
        else:
            given = headers.get("x-datadog-additional-tags", "")
            kept += (("dd-request-id", self._new_id()), ("dd-evp-origin", rule.origin))
            if rule.tags_in_query:
                kept.append(("x-datadog-additional-tags", self._additional_tags))
                query = self._with_tags(query, given)
            else:
                kept.append(("x-datadog-additional-tags", self._joined(given)))
        path = rule.to.replace("{rest}", rest)
        return Forwarding(
            target=target,
            path=f"{path}?{query}" if query else path,
            content_type=headers.get("content-type", "application/octet-stream"),
            encoding=headers.get("content-encoding"),
            headers=tuple(kept),
        )

    def _joined(self, *more: str) -> str:
        return _cut(",".join(filter(None, (self.tags.joined, *more))))

    def _with_tags(self, query: str, given: str) -> str:
        """The query with the function's tags before those it names itself."""
        pairs = parse_qsl(query, keep_blank_values=True)
        own = [value for name, value in pairs if name == "ddtags"]
        tags = self._joined(given, *own)
        others = [(name, value) for name, value in pairs if name != "ddtags"]
        return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in (("ddtags", tags), *others))


def _choose_subdomain(rest: str, named: str | None) -> str:
    subdomain = named or _evp_of_path.get(rest)
    if not subdomain:
        raise NotForwardable("the header X-Datadog-EVP-Subdomain is missing: it names the intake")
    if not _subdomain.fullmatch(subdomain):
        raise NotForwardable("X-Datadog-EVP-Subdomain may hold letters, digits and _ - . only")
    return subdomain.lower()


def _cut(tags: str) -> str:
    """Whole tags only."""
    if len(tags) <= max_tags_characters:
        return tags
    return tags[: max_tags_characters + 1].rpartition(",")[0]


def merged_datagrams(body: bytes, *, longest: int = 8_192) -> Sequence[bytes]:
    """DogStatsD lines that came over HTTP, as datagrams."""
    return [line for line in body.split(b"\n") if line and len(line) <= longest]
