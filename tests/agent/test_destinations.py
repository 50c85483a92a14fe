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
    worker, additional = destinations(config, StaticKey("k"))["logs"]
    assert worker.headers(payload) == (("x", "y"),)
    assert additional.headers(payload) == headers


def test_a_worker_without_a_url_is_told_and_logs_go_to_datadog() -> None:
    loaded = load_config({"DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED": "true"}, file=ConfigFile())
    assert "logs go to Datadog" in str(loaded.complaints[0])
    assert destinations(loaded.config, StaticKey("k"))["logs"][0].base_url == "https://http-intake.logs.datadoghq.com"


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
