"""Dual shipping settings: documented forms, and one bad entry which costs itself alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.config import load_config
from ddx_agent.config.endpoints import AdditionalEndpoint, endpoint_map, logs_endpoints
from ddx_agent.config.file import ConfigFile
from ddx_agent.config.parse import Partly


def both_forms(value: Any) -> list[Any]:
    """As a variable's JSON text, and as datadog.yaml gives it: text at the leaves."""
    return [json.dumps(value), texts(value)]


def texts(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_int=str, parse_float=str, parse_constant=str)


@pytest.mark.parametrize("form", [0, 1])
def test_urls_with_their_keys(form: int) -> None:
    written = both_forms({"https://app.datadoghq.com": ["key1", "key2"], "https://app.datadoghq.eu/": ["key3"]})[form]
    assert endpoint_map()(written).value == (
        AdditionalEndpoint("https://app.datadoghq.com", "key1"),
        AdditionalEndpoint("https://app.datadoghq.com", "key2"),
        AdditionalEndpoint("https://app.datadoghq.eu", "key3"),
    )


def test_a_full_url_is_taken_for_its_base() -> None:
    (only,) = endpoint_map(path="/api/v0.2/traces")({"https://trace.agent.x/api/v0.2/traces": ["k"]}).value
    assert only.base_url == "https://trace.agent.x"


bad_entries: list[dict[str, Any]] = [
    {"https://x": []},
    {"https://x": {}},
    {"ftp://x": ["k"]},
    {"https://x": ["k\u00e9"]},
    {"https://x": [[]]},
]


@pytest.mark.parametrize("bad", bad_entries)
@pytest.mark.parametrize("form", [0, 1])
def test_a_bad_entry_is_named_by_its_place_and_the_others_work(bad: dict[str, Any], form: int) -> None:
    found = endpoint_map()(both_forms({**bad, "https://good": ["key"]})[form])
    assert found.value == (AdditionalEndpoint("https://good", "key"),)
    (problem,) = found.problems
    assert problem.startswith("entry 1: expected")


@pytest.mark.parametrize("bad", [None, "", "k\u00e9", [], {}])
def test_a_bad_key_is_named_by_its_place_and_the_others_work(bad: object) -> None:
    found = endpoint_map()({"https://a": ["k1", bad, "k2"], "https://b": ["k3"]})
    assert [endpoint.api_key for endpoint in found.value] == ["k1", "k2", "k3"]
    assert found.problems == ("entry 1: expected an API key as text in place 2",)


@pytest.mark.parametrize("form", [0, 1])
def test_logs_endpoints(form: int) -> None:
    host = "agent-http-intake.logs.datadoghq.com"
    written = [
        {"api_key": "k2", "Host": host, "Port": 443, "is_reliable": True},
        {"api_key": "k3", "host": "127.0.0.1", "port": 8080, "use_ssl": False, "is_reliable": False},
        {"api_key": "k4", "Host": host},
        {"Host": host, "Port": 443},
        {"api_key": "k", "Host": "https://x/y"},
        {"api_key": "k", "Host": host, "Port": 0},
        "text",
    ]
    found = logs_endpoints(both_forms(written)[form])
    assert found.value == (
        AdditionalEndpoint(f"https://{host}:443", "k2"),
        AdditionalEndpoint("http://127.0.0.1:8080", "k3", is_reliable=False),
        AdditionalEndpoint(f"https://{host}:443", "k4"),
    )
    assert [problem.partition(":")[0] for problem in found.problems] == ["entry 4", "entry 5", "entry 6", "entry 7"]


@pytest.mark.parametrize("written", ["invalid-json", "5", "[]", "null"])
def test_what_is_no_map_is_told_in_one_line(written: str) -> None:
    loaded = load_config({"DD_APM_ADDITIONAL_ENDPOINTS": written}, file=ConfigFile())
    (complaint,) = loaded.complaints
    assert "a map of URLs to lists of API keys" in complaint.problem
    assert loaded.config.intakes.more_traces == ()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)


@given(anything)
def test_any_json_gives_endpoints_and_problems_or_one_refusal(value: Any) -> None:
    for parser in (endpoint_map(), logs_endpoints):
        for raw in both_forms(value):
            try:
                found = parser(raw)
            except ValueError:
                continue
            assert isinstance(found, Partly)
            assert all(each.base_url.startswith(("http://", "https://")) for each in found.value)
