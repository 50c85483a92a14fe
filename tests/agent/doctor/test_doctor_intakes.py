"""What was met on the way, the clocks, and the help that goes with each failure."""

from __future__ import annotations

import pytest

from ddx_agent.config import load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.doctor.findings import Finding, Level
from ddx_agent.doctor.intakes import Target, Way, judge_clock, judge_intakes, proxy_variable, targets
from ddx_agent.doctor.reach import Certificate, Failure, Kind, Reach, Step

url = "https://api.datadoghq.com"
now_s = 1_700_000_000.0
day_s = 86_400.0


def way(reach: Reach, *, is_primary: bool = True) -> Way:
    return Way(Target(url, ("metrics",), ("DD_SITE",), is_primary), reach, "HTTPS_PROXY")


def judge(reach: Reach, *, is_primary: bool = True) -> list[Finding]:
    return judge_intakes([way(reach, is_primary=is_primary)], now_s=now_s)


def test_the_configurations_base_urls_are_told_once_each() -> None:
    environ = {
        "DD_SITE": "datadoghq.eu",
        "DD_APM_DD_URL": "https://api.datadoghq.eu",
        "DD_ADDITIONAL_ENDPOINTS": '{"https://api.datadoghq.com": ["a", "b"], "https://api.datadoghq.eu": ["c"]}',
    }
    assert targets(load_config(environ, file=ConfigFile())) == [
        Target("https://http-intake.logs.datadoghq.eu", ("logs",), ("DD_SITE",), True),
        Target(
            "https://api.datadoghq.eu",
            ("metrics", "traces", "stats"),
            ("DD_SITE", "DD_ADDITIONAL_ENDPOINTS", "DD_APM_DD_URL"),
            True,
        ),
        Target("https://api.datadoghq.com", ("metrics",), ("DD_ADDITIONAL_ENDPOINTS",), False),
    ]


def test_the_intake_of_profiles_is_looked_at_when_a_setting_moves_it() -> None:
    environ = {
        "DD_APM_PROFILING_DD_URL": "https://profiles.pl.example",
        "DD_APM_PROFILING_ADDITIONAL_ENDPOINTS": '{"https://intake.profile.datadoghq.eu": ["a"]}',
    }
    assert targets(load_config(environ, file=ConfigFile()))[-2:] == [
        Target("https://profiles.pl.example", ("profiles",), ("DD_APM_PROFILING_DD_URL",), True),
        Target("https://intake.profile.datadoghq.eu", ("profiles",), ("DD_APM_PROFILING_ADDITIONAL_ENDPOINTS",), False),
    ]


def test_the_proxys_variable_is_the_one_that_was_written() -> None:
    loaded = load_config({"HTTPS_PROXY": "http://proxy:1", "DD_PROXY_HTTP": "http://proxy:2"}, file=ConfigFile())
    assert proxy_variable(loaded, url) == "HTTPS_PROXY"
    assert proxy_variable(loaded, "http://intake") == "DD_PROXY_HTTP"


def test_a_way_that_is_open_is_told_with_its_times_and_certificate() -> None:
    reach = Reach(url, "http://proxy:3128", [Step("dns", 1.4), Step("http", 20.0)], status=404)
    reach.certificate = Certificate("Some CA", now_s + 90 * day_s)
    (only,) = judge(reach)
    assert only.level is Level.OK
    assert only.text == (
        "metrics to https://api.datadoghq.com through the proxy http://proxy:3128: reachable "
        "(status 404; dns 1 ms, http 20 ms, certificate by Some CA until 2024-02-12)"
    )


def test_a_certificate_that_expires_soon_is_noted() -> None:
    _, expiring = judge(Reach(url, status=200, certificate=Certificate("CA", now_s + 1.5 * day_s)))
    assert expiring.level is Level.NOTE
    assert expiring.text.endswith("expires in 1 day")


def test_a_connection_that_is_not_verified_is_a_warning() -> None:
    _, unverified = judge(Reach(url, status=200, is_verified=False))
    assert unverified.level is Level.WARNING
    assert "DD_SKIP_SSL_VALIDATION" in unverified.help


@pytest.mark.parametrize(
    ("failure", "proxy", "said"),
    [
        (Failure("url", Kind.ADDRESS, "no port"), None, "correct DD_SITE"),
        (Failure("dns", Kind.NAME, "unknown"), None, "check DD_SITE; in a VPC"),
        (Failure("dns", Kind.NAME, "unknown"), "http://proxy", "the proxy's host in HTTPS_PROXY"),
        (Failure("tcp", Kind.CONNECT, "refused"), None, "NAT gateway"),
        (Failure("tcp", Kind.TIMEOUT, "no answer"), "http://proxy", "the proxy's host and port in HTTPS_PROXY"),
        (Failure("http", Kind.TIMEOUT, "no answer"), "http://proxy", "NAT gateway"),
        (Failure("proxy", Kind.PROXY_CREDENTIALS, "status 407"), "http://proxy", "HTTPS_PROXY=http://USER:PASSWORD"),
        (Failure("proxy", Kind.PROXY, "status 403"), "http://proxy", "DD_PROXY_NO_PROXY"),
        (Failure("tls", Kind.UNTRUSTED, "self-signed"), None, "DD_TLS_CERT_FILE"),
        (Failure("tls", Kind.TLS, "wrong version number"), None, "DD_MIN_TLS_VERSION"),
        (Failure("http", Kind.ANSWER, "closed"), None, "no HTTP/1.1 server"),
    ],
)
def test_each_failure_comes_with_what_to_do(failure: Failure, proxy: str | None, said: str) -> None:
    (only,) = judge(Reach(url, proxy, failure=failure))
    assert only.level is Level.ERROR
    assert failure.text in only.text
    assert said in only.help


def test_an_additional_endpoint_that_is_out_of_reach_is_a_warning() -> None:
    (only,) = judge(Reach(url, failure=Failure("tcp", Kind.CONNECT, "refused")), is_primary=False)
    assert only.level is Level.WARNING


@pytest.mark.parametrize(
    ("ahead_s", "level", "said"),
    [
        (0.4, Level.OK, "within a second or two"),
        (-59.0, Level.OK, "59 s behind"),
        (61.0, Level.WARNING, "61 s ahead of"),
        (-299.0, Level.WARNING, "299 s behind"),
        (-301.0, Level.ERROR, "AWS refuses signatures"),
        (None, Level.NOTE, "no answer"),
    ],
)
def test_the_clock_is_judged_by_its_skew(ahead_s: float | None, level: Level, said: str) -> None:
    (only,) = judge_clock([way(Reach(url, ahead_s=ahead_s))])
    assert only.level is level
    assert said in only.text


def test_one_intake_with_a_wrong_clock_says_nothing_of_ours() -> None:
    (only,) = judge_clock([way(Reach(url, ahead_s=900.0)), way(Reach(url, ahead_s=-1.0))])
    assert only.level is Level.OK


def test_a_token_in_the_query_of_a_worker_is_not_told() -> None:
    environ = {
        "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED": "true",
        "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL": "http://user:password@worker:8282/logs?token=abc#part",
    }
    assert targets(load_config(environ, file=ConfigFile()))[0].url == "http://worker:8282/logs"
