"""Where the key comes from, its form, and what to allow where nothing is given."""

from __future__ import annotations

import pytest

from ddx_agent.config import load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.doctor.findings import Level, exit_code
from ddx_agent.doctor.keys import (
    Asked,
    Refusal,
    Validation,
    Verdict,
    judge_answer,
    judge_sources,
    judge_validations,
    meets_site,
    other_keys,
    site_of,
    what_to_allow,
)
from ddx_core.intake import ApiKey

good = ApiKey("0123456789abcdef0123456789abcdef")
denied = Refusal(
    "secretsmanager:GetSecretValue in eu-west-1: AccessDeniedException (status 400)", "AccessDeniedException"
)


def test_no_source_at_all_is_an_error() -> None:
    (only,) = judge_sources([])
    assert only.level is Level.ERROR
    assert "DD_API_KEY_SECRET_ARN" in only.help


def test_a_refused_source_is_an_error_when_it_was_the_only_one() -> None:
    (only,) = judge_sources([Asked("DD_API_KEY_SECRET_ARN", refusal=denied)])
    assert only.level is Level.ERROR
    assert "allow the function's role secretsmanager:GetSecretValue" in only.help


def test_a_refused_source_is_a_warning_when_another_one_gives_the_key() -> None:
    refused, used = judge_sources([Asked("DD_API_KEY_SECRET_ARN", refusal=denied), Asked("DD_API_KEY", good)])
    assert refused.level is Level.WARNING
    assert refused.text.endswith("DD_API_KEY is used")
    assert (used.level, used.text) == (Level.OK, "DD_API_KEY gives it")


def test_a_weaker_source_is_only_noted() -> None:
    used, kept = judge_sources([Asked("DD_KMS_API_KEY", good, ms=12.3), Asked("DD_API_KEY", good)])
    assert used.text == "DD_KMS_API_KEY gives it (12 ms)"
    assert kept.level is Level.NOTE


@pytest.mark.parametrize("key", ["0123456789abcdef", "a" * 40, "arn:aws:secretsmanager:eu-west-1:1:secret:k", "g" * 32])
def test_a_key_of_another_form_is_noted_and_not_told(key: str) -> None:
    findings = judge_sources([Asked("DD_API_KEY", ApiKey(key))])
    assert [finding.level for finding in findings] == [Level.OK, Level.NOTE]
    assert not any(key in finding.text + finding.help for finding in findings)


def test_offline_sources_are_not_errors() -> None:
    assert exit_code(judge_sources([Asked("DD_API_KEY_SECRET_ARN")])) == 0


@pytest.mark.parametrize(
    ("variable", "refusal", "said"),
    [
        ("DD_API_KEY_SSM_ARN", Refusal("", "AccessDeniedException"), "ssm:GetParameter"),
        ("DD_KMS_API_KEY", Refusal("", "AccessDeniedException"), "kms:Decrypt"),
        ("DD_TAGS_SECRET_ARN", Refusal("", "AccessDeniedException"), "secretsmanager:GetSecretValue"),
        ("DD_API_KEY_SECRET_ARN", Refusal("", "ResourceNotFoundException"), "correct DD_API_KEY_SECRET_ARN"),
        ("DD_TAGS_KMS_ENCRYPTED", Refusal("", "InvalidCiphertextException"), "aws kms encrypt"),
        ("DD_API_KEY_SECRET_ARN", Refusal("", "ExpiredTokenException"), "get new ones"),
        ("DD_API_KEY_SECRET_ARN", Refusal("there are no AWS credentials"), "aws configure export-credentials"),
        ("DD_API_KEY_SSM_ARN", Refusal("", may_pass=True), "com.amazonaws.REGION.ssm"),
        ("DD_ORG_UUID", Refusal("", may_pass=True), "see the intakes"),
        ("DD_ORG_UUID", Refusal("status 403"), "map the function's IAM role"),
        ("DD_API_KEY_SECRET_ARN", Refusal("the secret is empty"), "dd_api_key or apiKey"),
    ],
)
def test_each_refusal_comes_with_what_to_allow(variable: str, refusal: Refusal, said: str) -> None:
    assert said in what_to_allow(variable, refusal)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b'{"valid":true}', Verdict.VALID),
        (200, b'{"valid":false}', Verdict.REFUSED),
        (200, b"<html>", Verdict.UNKNOWN),
        (200, b"\xff", Verdict.UNKNOWN),
        (403, b'{"errors":["Forbidden"]}', Verdict.REFUSED),
        (401, b"", Verdict.REFUSED),
        (302, b"", Verdict.UNKNOWN),
    ],
)
def test_the_sites_answer_is_read(status: int, body: bytes, verdict: Verdict) -> None:
    assert judge_answer(status, body)[0] is verdict


@pytest.mark.parametrize(
    ("verdict", "own", "additional"),
    [
        (Verdict.VALID, Level.OK, Level.OK),
        (Verdict.REFUSED, Level.ERROR, Level.NOTE),
        (Verdict.UNKNOWN, Level.WARNING, Level.NOTE),
    ],
)
def test_a_refusal_of_the_own_key_weighs_more(verdict: Verdict, own: Level, additional: Level) -> None:
    validations = [
        Validation("datadoghq.eu", verdict),
        Validation("datadoghq.com", verdict, used_for="DD_ADDITIONAL_ENDPOINTS, entry 1"),
    ]
    levels = [finding.level for finding in judge_validations(validations)]
    assert levels == [own, additional]


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("api.datadoghq.com", "datadoghq.com"),
        ("trace.agent.us3.datadoghq.com", "us3.datadoghq.com"),
        ("http-intake.logs.datadoghq.eu.", "datadoghq.eu"),
        ("notdatadoghq.com", None),
        ("datadoghq.com.example", None),
    ],
)
def test_a_host_has_a_site(host: str, site: str | None) -> None:
    assert site_of(host) == site


def test_only_keys_of_datadogs_hosts_are_validated_and_each_once() -> None:
    environ = {
        "DD_ADDITIONAL_ENDPOINTS": '{"https://api.datadoghq.eu": ["one", "two"], "https://vector.internal": ["three"]}',
        "DD_APM_ADDITIONAL_ENDPOINTS": '{"https://trace.agent.datadoghq.eu": ["one"]}',
    }
    keys = other_keys(load_config(environ, file=ConfigFile()).config)
    assert [(site, key.value) for _, site, key in keys] == [("datadoghq.eu", "one"), ("datadoghq.eu", "two")]


def test_a_key_that_never_meets_the_site_is_not_validated_there() -> None:
    elsewhere = "http://127.0.0.1:1"
    environ = {"DD_DD_URL": elsewhere, "DD_APM_DD_URL": elsewhere}
    assert meets_site(load_config(environ, file=ConfigFile()).config)
    environ["DD_LOGS_CONFIG_LOGS_DD_URL"] = elsewhere
    assert not meets_site(load_config(environ, file=ConfigFile()).config)
