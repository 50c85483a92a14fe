"""Where each signal goes, for every site and override."""

from __future__ import annotations

import json

import pytest

from ddx_agent.config import load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.destinations import destinations, proxied_destinations
from ddx_core.intake import Endpoint, Payload, StaticKey

paths = {"logs": "/api/v2/logs", "metrics": "/api/v2/series", "traces": "/api/v0.2/traces", "stats": "/api/v0.2/stats"}
sites = [
    "datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "datadoghq.eu", "ap1.datadoghq.com", "ap2.datadoghq.com",
    "uk1.datadoghq.com", "ddog-gov.com", "us2.ddog-gov.com", "datad0g.com",
]  # fmt: skip


def endpoints(**environ: str) -> dict[str, list[Endpoint]]:
    return destinations(load_config(environ, file=ConfigFile()).config, StaticKey("own"))


def urls(**environ: str) -> dict[str, list[str]]:
    return {
        signal: [each.url(Payload(path=paths[signal], content_type="", body=b"", items=0)) for each in found]
        for signal, found in endpoints(**environ).items()
    }


@pytest.mark.parametrize("site", sites)
def test_each_site_has_its_intakes(site: str) -> None:
    assert urls(DD_SITE=site) == {
        "logs": [f"https://http-intake.logs.{site}/api/v2/logs"],
        "metrics": [f"https://api.{site}/api/v2/series"],
        "traces": [f"https://trace.agent.{site}/api/v0.2/traces"],
        "stats": [f"https://trace.agent.{site}/api/v0.2/stats"],
    }


def test_overrides_reach_private_links_and_local_intakes() -> None:
    found = urls(
        DD_DD_URL="https://metrics.pl.example/",
        DD_LOGS_CONFIG_LOGS_DD_URL="agent-http-intake.pl.example:443",
        DD_APM_DD_URL="http://127.0.0.1:8080",
    )
    assert found == {
        "logs": ["https://agent-http-intake.pl.example:443/api/v2/logs"],
        "metrics": ["https://metrics.pl.example/api/v2/series"],
        "traces": ["http://127.0.0.1:8080/api/v0.2/traces"],
        "stats": ["http://127.0.0.1:8080/api/v0.2/stats"],
    }


async def test_everything_goes_to_the_additional_endpoints_with_their_own_keys() -> None:
    found = endpoints(
        DD_ADDITIONAL_ENDPOINTS=json.dumps({"https://app.datadoghq.eu": ["m1", "m2"]}),
        DD_APM_ADDITIONAL_ENDPOINTS=json.dumps({"https://trace.agent.datadoghq.eu": ["t1"]}),
        DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS=json.dumps(
            [{"api_key": "l1", "Host": "logs.example", "Port": 443, "is_reliable": False}]
        ),
    )
    seen: dict[str, list[tuple[str, str, str]]] = {}
    for signal, listed in found.items():
        for each in listed:
            key = await each.key.get()
            assert key is not None
            seen.setdefault(signal, []).append((each.name, each.base_url, key.value))
    assert [entry[1:] for entry in seen["metrics"]] == [
        ("https://api.datadoghq.com", "own"), ("https://app.datadoghq.eu", "m1"), ("https://app.datadoghq.eu", "m2"),
    ]  # fmt: skip
    assert seen["traces"][1:] == [("traces-2", "https://trace.agent.datadoghq.eu", "t1")]
    assert seen["stats"][1:] == [("stats-2", "https://trace.agent.datadoghq.eu", "t1")]
    assert seen["logs"][1:] == [("logs-2", "https://logs.example:443", "l1")]
    assert [each.is_reliable for each in found["logs"]] == [True, False]
    names = [each.name for listed in found.values() for each in listed]
    assert len(names) == len(set(names))


def test_a_worker_gets_logs_at_exactly_its_url_and_the_others_are_datadogs_own() -> None:
    found = urls(
        DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED="true",
        DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL="http://worker:8282/logs",
        DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS=json.dumps([{"api_key": "l1", "Host": "logs.example", "Port": 443}]),
    )
    assert found["logs"] == ["http://worker:8282/logs", "https://logs.example:443/api/v2/logs"]


def test_a_worker_is_not_told_the_protocol_that_datadog_s_intake_speaks() -> None:
    environ = {
        "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED": "true",
        "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL": "http://worker:8282/logs",
        "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS": json.dumps([{"api_key": "l1", "Host": "logs.example", "Port": 443}]),
    }
    config = load_config(environ, file=ConfigFile()).config
    headers = (("DD-PROTOCOL", "agent-json"), ("x", "y"))
    payload = Payload(path="/p", content_type="c", body=b"", items=1, headers=headers)
    to_worker, additional = destinations(config, StaticKey("k"))["logs"]
    assert to_worker.headers(payload) == (("x", "y"),)
    assert additional.headers(payload) == headers


worker = "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS"


@pytest.mark.parametrize(
    "url",
    [
        "http://worker:8282/?source=lambda",
        "https://worker.example/logs/",
        "http://worker:8282",
        "http://[fd00::1]:8282/a//b/?x=1&y=%2F#part",
        "http://10.0.0.1/" + "a" * 3000,
    ],
)
def test_a_worker_s_url_is_used_untouched(url: str) -> None:
    assert urls(**{f"{worker}_ENABLED": "true", f"{worker}_URL": f" {url} "})["logs"] == [url]
    assert load_config({f"{worker}_URL": url.replace("http", "HTTP", 1)}).config.intakes.worker_url == url


@pytest.mark.parametrize(
    ("written", "header"),
    [
        ("user:p%40ss@", "Basic dXNlcjpwQHNz"),
        ("user:a@b@", "Basic dXNlcjphQGI="),
        ("user@", "Basic dXNlcjo="),
        ("@", None),
    ],
)
def test_credentials_in_a_worker_s_url_are_a_header_and_never_shown(written: str, header: str | None) -> None:
    (endpoint,) = endpoints(**{f"{worker}_ENABLED": "1", f"{worker}_URL": f"http://{written}worker:8282/logs?a@b"})[
        "logs"
    ]
    payload = Payload(path="/p", content_type="c", body=b"", items=1, headers=(("DD-PROTOCOL", "agent-json"),))
    assert endpoint.url(payload) == "http://worker:8282/logs?a@b"
    assert endpoint.headers(payload) == (() if header is None else (("Authorization", header),))
    assert "Basic" not in repr(endpoint)


@pytest.mark.parametrize(
    "written",
    [None, " ", "worker:8282", "ftp://worker", "http://", "http:///logs", "http://worker:99999", "http://worker:0",
     "http://[::1", "http://wor ker", "http://worker/\x00", "http://w\u00f6rker"],
)  # fmt: skip
def test_no_log_goes_around_a_worker_without_a_usable_url(written: str | None) -> None:
    more = {"DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS": json.dumps([{"api_key": "l1", "Host": "logs.example"}])}
    environ = {f"{worker}_ENABLED": "true", "DD_SERVERLESS_LOGS_ENABLED": "true"} | more
    loaded = load_config(environ | ({} if written is None else {f"{worker}_URL": written}), file=ConfigFile())
    assert not loaded.config.logs.enabled
    assert loaded.config.logs.telemetry_types == ("platform",)
    (severe,) = [each for each in loaded.complaints if each.is_severe]
    assert "no logs are shipped" in str(severe)


def test_a_worker_s_url_that_comes_from_a_secret_is_waited_for() -> None:
    environ = {f"{worker}_ENABLED": "true"}
    loaded = load_config(environ, file=ConfigFile(), secrets={f"{worker}_URL": "http://worker:8282"})
    assert loaded.config.logs.enabled
    assert loaded.complaints == ()


def test_who_collects_no_logs_hears_nothing_of_the_worker() -> None:
    environ = {f"{worker}_ENABLED": "true", "DD_SERVERLESS_LOGS_ENABLED": "false"}
    assert load_config(environ, file=ConfigFile()).complaints == ()


def proxied(intake: str, **environ: str) -> list[str] | None:
    found = proxied_destinations(load_config(environ, file=ConfigFile()).config, StaticKey("own"), intake)
    return None if found is None else [each.base_url for each in found]


@pytest.mark.parametrize("site", sites)
def test_each_site_has_the_intakes_that_libraries_reach_through_the_agent(site: str) -> None:
    assert {intake: proxied(intake, DD_SITE=site) for intake in ("profiles", "data-streams", "telemetry")} == {
        "profiles": [f"https://intake.profile.{site}"],
        "data-streams": [f"https://trace.agent.{site}"],
        "telemetry": [f"https://instrumentation-telemetry-intake.{site}"],
    }
    assert proxied("debugger", DD_SITE=site) == [f"https://debugger-intake.{site}"]
    assert proxied("debugger-logs", DD_SITE=site) == [f"https://http-intake.logs.{site}"]
    assert proxied("evp-llmobs-intake", DD_SITE=site) == [f"https://llmobs-intake.{site}"]
    assert proxied("logs", DD_SITE=site) is None


@pytest.mark.parametrize("path", ["", "/", "/api/v2/profile"])
def test_profiles_go_where_their_settings_say(path: str) -> None:
    more = json.dumps({f"https://intake.profile.datadoghq.eu{path}": ["p1", "p2"], "no url": ["p3"]})
    assert proxied(
        "profiles",
        DD_APM_PROFILING_DD_URL=f"https://profiles.pl.example{path}",
        DD_APM_PROFILING_ADDITIONAL_ENDPOINTS=more,
        DDX_PROXIED_URL="http://127.0.0.1:9",
    ) == ["https://profiles.pl.example", "https://intake.profile.datadoghq.eu", "https://intake.profile.datadoghq.eu"]


def test_data_streams_go_where_traces_go_and_one_setting_moves_the_rest() -> None:
    moved = {
        "DDX_PROXIED_URL": "http://127.0.0.1:9",
        "DD_APM_DD_URL": "http://127.0.0.1:8",
        "DD_APM_ADDITIONAL_ENDPOINTS": json.dumps({"https://trace.agent.datadoghq.eu": ["t1"]}),
    }
    assert proxied("data-streams", **moved) == ["http://127.0.0.1:8", "https://trace.agent.datadoghq.eu"]
    for intake in ("profiles", "telemetry", "debugger", "debugger-logs", "evp-llmobs-intake"):
        assert proxied(intake, **moved) == ["http://127.0.0.1:9"]
