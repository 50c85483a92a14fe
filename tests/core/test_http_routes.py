"""Routes: the first that fits by path and method; 405 names the methods that a path does take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.http import Headers, Request, Response, Route, Routes
from ddx_core.http.routes import Match, NoMatch


async def handler(request: Request) -> Response:
    return Response()


def route(path: str, *methods: str) -> Route:
    return Route(methods or ("GET",), path, handler)


table = Routes(
    [
        route("/info"),
        route("/info", "POST", "PUT"),
        route("/functions/{name}/invocations", "POST"),
        route("/functions/special/invocations", "PUT"),
        route("/files/{rest*}"),
        route("/any/{thing}", "*"),
        route("/"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "expected_path", "params"),
    [
        ("GET", "/info", "/info", {}),
        ("PUT", "/info", "/info", {}),
        ("POST", "/functions/orders/invocations", "/functions/{name}/invocations", {"name": "orders"}),
        ("PUT", "/functions/special/invocations", "/functions/special/invocations", {}),
        ("POST", "/functions/special/invocations", "/functions/{name}/invocations", {"name": "special"}),
        ("GET", "/files/a/b/c", "/files/{rest*}", {"rest": "a/b/c"}),
        ("GET", "/files/", "/files/{rest*}", {"rest": ""}),
        ("BREW", "/any/tea", "/any/{thing}", {"thing": "tea"}),
        ("GET", "/", "/", {}),
    ],
)
def test_the_first_route_that_fits_is_found(method: str, path: str, expected_path: str, params: dict[str, str]) -> None:
    found = table.find(method, path)
    assert isinstance(found, Match)
    assert found.route.path == expected_path
    assert found.params == params


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/nowhere", ()),
        ("GET", "", ()),
        ("GET", "/info/", ()),
        ("GET", "/files", ()),
        ("DELETE", "/info", ("GET", "POST", "PUT")),
        ("GET", "/functions/special/invocations", ("PUT", "POST")),
        ("POST", "/functions//invocations", ()),
        ("POST", "/functions/a/invocations/more", ()),
        ("GET", "/any/", ()),
    ],
)
def test_what_does_not_fit_is_404_or_405(method: str, path: str, allowed: tuple[str, ...]) -> None:
    assert table.find(method, path) == NoMatch(allowed)


@given(st.sampled_from(["GET", "POST", ""]), st.text("/{}*ainfo", max_size=40))
def test_any_path_finds_a_route_or_none(method: str, path: str) -> None:
    assert isinstance(table.find(method, path), Match | NoMatch)


def test_header_fields_give_their_last_value_and_all_of_them() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3")])
    assert headers["a"] == "3"
    assert headers.all("a") == ["1", "3"]
    assert headers.get("c") is None
    assert list(headers) == ["a", "b"]
    assert len(headers) == 2
