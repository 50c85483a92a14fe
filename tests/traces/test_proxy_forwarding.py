"""What is sent on of a library's request: everything it said, but for its connection's headers and its secrets."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.http import Request
from ddx_core.http.message import Headers
from ddx_core.http.routes import Match, Route, Routes
from ddx_core.tags import TagSet
from ddx_traces.proxy.forwarding import Forwarder, Forwarding, NotForwardable, max_tags_characters, rules

tags = TagSet([("functionname", "orders"), ("env", "prod")])
additional = "_dd.origin:lambda;functionname:orders"


async def _never(_: Request) -> None: ...


table = Routes([Route(("POST",), rule.path, _never) for rule in rules])  # pyright: ignore[reportArgumentType]
rule_of = {rule.path: rule for rule in rules}


def forward(path: str, *headers: tuple[str, str], query: str = "", own_tags: TagSet = tags) -> Forwarding:
    match = table.find("POST", path)
    assert isinstance(match, Match), path
    request = Request(
        method="POST", path=path, query=query, headers=Headers(list(headers)), body=b"x", params=match.params
    )
    forwarder = Forwarder(tags=own_tags, additional_tags=additional, new_id=lambda: "id-1")
    return forwarder.forward(rule_of[match.route.path], request)


@pytest.mark.parametrize(
    ("path", "target", "to"),
    [
        ("/v0.1/pipeline_stats", "data-streams", "/api/v0.1/pipeline_stats"),
        ("/profiling/v1/input", "profiles", "/api/v2/profile"),
        ("/evp_proxy/v2/api/intake/llm-obs/v1/eval-metric", "evp-api", "/api/intake/llm-obs/v1/eval-metric"),
        ("/evp_proxy/v2/api/intake/llm-obs/v2/eval-metric", "evp-api", "/api/intake/llm-obs/v2/eval-metric"),
        ("/evp_proxy/v2/api/v2/llmobs", "evp-llmobs-intake", "/api/v2/llmobs"),
        ("/evp_proxy/v4/api/v2/llmobs", "evp-llmobs-intake", "/api/v2/llmobs"),
        ("/telemetry/proxy/api/v2/apmtelemetry", "telemetry", "/api/v2/apmtelemetry"),
    ],
)
def test_each_path_leads_to_its_intake(path: str, target: str, to: str) -> None:
    found = forward(path)
    assert (found.target, found.path) == (target, to)
    assert ("x-datadog-additional-tags", additional) in found.headers


@pytest.mark.parametrize(
    ("path", "target", "to", "origin"),
    [
        ("/debugger/v1/input", "debugger-logs", "/api/v2/logs", "agent-debugger"),
        ("/debugger/v1/diagnostics", "debugger", "/api/v2/debugger", "agent-debugger"),
        ("/debugger/v2/input", "debugger", "/api/v2/debugger", "agent-debugger"),
    ],
)
def test_the_debuggers_intakes_are_told_the_functions_tags(path: str, target: str, to: str, origin: str) -> None:
    found = forward(path, query="ddtags=host%3Aa%2Cteam%3Ab&x=1%2B1")
    address = urlsplit(found.path)
    assert (found.target, address.path) == (target, to)
    assert parse_qs(address.query) == {"ddtags": ["functionname:orders,env:prod,host:a,team:b"], "x": ["1+1"]}
    assert {("dd-request-id", "id-1"), ("dd-evp-origin", origin)} <= set(found.headers)


def test_symbols_come_with_the_functions_tags_in_a_header() -> None:
    found = forward("/symdb/v1/input", ("x-datadog-additional-tags", "host:a"), query="x=1")
    assert (found.target, found.path) == ("debugger", "/api/v2/debugger?x=1")
    assert {
        ("dd-request-id", "id-1"),
        ("dd-evp-origin", "agent-symdb"),
        ("x-datadog-additional-tags", "functionname:orders,env:prod,host:a"),
    } == set(found.headers)


def test_headers_that_the_connection_claims_stay_here() -> None:
    found = forward("/profiling/v1/input", ("connection", "keep-alive, X-Hop"), ("x-hop", "1"), ("x-other", "2"))
    assert [name for name, _ in found.headers] == ["x-other", "x-datadog-additional-tags"]


@pytest.mark.parametrize("rest", ["../x", "api/../../x", "a/.."])
def test_a_path_that_leads_out_of_itself_is_refused(rest: str) -> None:
    with pytest.raises(NotForwardable, match="path"):
        forward(f"/evp_proxy/v2/{rest}", ("x-datadog-evp-subdomain", "a"))


def test_tags_in_a_query_end_with_a_whole_tag() -> None:
    many = TagSet([(f"tag{number}", "x" * 50) for number in range(100)])
    query = urlsplit(forward("/debugger/v1/input", own_tags=many).path).query
    (written,) = parse_qs(query)["ddtags"]
    assert max_tags_characters - 60 < len(written) <= max_tags_characters
    assert set(written.split(",")) <= set(many.rendered)


def test_what_the_library_said_is_kept_in_order_with_repeats() -> None:
    found = forward(
        "/profiling/v1/input",
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-encoding", "zstd"),
        ("x-a", "1"),
        ("user-agent", "python"),
        ("x-a", "2"),
        query="a=1&b=%20",
    )
    assert (found.content_type, found.encoding) == ("multipart/form-data; boundary=b", "zstd")
    assert found.headers[:3] == (("x-a", "1"), ("user-agent", "python"), ("x-a", "2"))
    assert found.path == "/api/v2/profile?a=1&b=%20"


def test_headers_of_the_connection_and_secrets_stay_here() -> None:
    found = forward(
        "/profiling/v1/input",
        ("host", "localhost"), ("content-length", "1"), ("connection", "close"), ("transfer-encoding", "chunked"),
        ("dd-api-key", "secret"), ("authorization", "Bearer secret"), ("cookie", "secret"),
        ("dd-application-key", "secret"), ("x-datadog-additional-tags", "theirs"),
    )  # fmt: skip
    assert found.headers == (("x-datadog-additional-tags", additional),)


@pytest.mark.parametrize(
    ("subdomain", "target"),
    [("citestcycle-intake", "evp-citestcycle-intake"), ("Event.Platform", "evp-event.platform")],
)
def test_evp_requests_name_their_intake(subdomain: str, target: str) -> None:
    found = forward("/evp_proxy/v2/api/v2/x", ("x-datadog-evp-subdomain", subdomain))
    assert (found.target, found.path) == (target, "/api/v2/x")
    assert not [name for name, _ in found.headers if name == "x-datadog-evp-subdomain"]


@pytest.mark.parametrize("subdomain", ["", "a/b", "evil.com/?", "a..b", ".a", "a@b", "a:1", "é"])
def test_a_subdomain_that_is_none_is_refused_by_name(subdomain: str) -> None:
    with pytest.raises(NotForwardable, match="X-Datadog-EVP-Subdomain"):
        forward("/evp_proxy/v2/api/v2/x", ("x-datadog-evp-subdomain", subdomain))


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_asked_stays_on_the_named_intake(rest: str, query: str, subdomain: str) -> None:
    try:
        found = forward(f"/evp_proxy/v2/{rest}", ("x-datadog-evp-subdomain", subdomain), query=query)
    except NotForwardable:
        return
    address = urlsplit(f"https://{found.target.removeprefix('evp-')}.datadoghq.com{found.path}")
    assert address.hostname is not None
    assert address.hostname.endswith(".datadoghq.com")
    assert address.username is None
    assert address.port is None
    assert found.path.isascii()
    assert found.path.isprintable()
