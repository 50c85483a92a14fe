"""IntakeClient and intakes behind TLS: whom it trusts, and what it says when it does not."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from ddx_core.errors import Unavailable
from ddx_core.intake import ClientSettings, IntakeClient, Outcome, RetryPolicy, Sent, TlsPolicy
from tests.support.builders import a_payload, an_endpoint
from tests.support.intake import ScriptedIntake, run_on
from tests.support.tls_intake import TlsIntake, pem_file

quick = RetryPolicy(max_attempts=2, base_s=0.001, cap_s=0.01)


def send(backend: str, intake: TlsIntake, policy: TlsPolicy, **options: Any) -> Sent:
    async def scenario() -> Sent:
        settings = ClientSettings(attempt_s=10, make_tls=policy.make_context, **options)
        async with IntakeClient(settings, quick) as client:
            return await client.send(an_endpoint(intake.url), a_payload())

    return run_on(backend, scenario, intake)


def refusal(backend: str, intake: TlsIntake, policy: TlsPolicy) -> str:
    with pytest.raises(Unavailable) as caught:
        send(backend, intake, policy)
    assert not caught.value.maybe_delivered
    assert not intake.requests
    return str(caught.value)


def authority_file(folder: Path, *authorities: trustme.CA) -> str:
    return pem_file(folder, "ca.pem", *(authority.cert_pem.bytes() for authority in authorities))


@pytest.mark.parametrize("count", [1, 2])
def test_a_private_authority_is_trusted_by_its_file(backend: str, count: int, tmp_path: Path) -> None:
    intake = TlsIntake()
    others = [trustme.CA() for _ in range(count - 1)]
    policy = TlsPolicy(authority_file(tmp_path, *others, intake.authority))
    assert send(backend, intake, policy).outcome is Outcome.DELIVERED


def test_without_the_file_the_reason_names_the_host_and_what_to_do(backend: str) -> None:
    text = refusal(backend, TlsIntake(), TlsPolicy())
    assert "the certificate of 127.0.0.1 is not accepted: unable to get local issuer certificate" in text
    assert "name its PEM file in DD_TLS_CERT_FILE" in text
    assert "after 1 attempts" in text  # the second would fail in the same way


def test_the_intakes_own_certificate_may_be_in_the_file(backend: str, tmp_path: Path) -> None:
    intake = TlsIntake()
    intake.certificate = intake.authority.issue_cert("127.0.0.1")
    file = pem_file(tmp_path, "leaf.pem", intake.certificate.cert_chain_pems[0].bytes())
    assert send(backend, intake, TlsPolicy(file)).outcome is Outcome.DELIVERED


def test_without_validation_any_certificate_will_do(backend: str) -> None:
    intake = TlsIntake()
    intake.certificate = intake.authority.issue_cert("somebody.else.test")
    assert send(backend, intake, TlsPolicy(verify=False)).outcome is Outcome.DELIVERED


def test_a_certificate_for_another_host(backend: str, tmp_path: Path) -> None:
    intake = TlsIntake()
    intake.certificate = intake.authority.issue_cert("somebody.else.test")
    text = refusal(backend, intake, TlsPolicy(authority_file(tmp_path, intake.authority)))
    assert "the certificate of 127.0.0.1 is not accepted: IP address mismatch" in text
    assert "DD_TLS_CERT_FILE" not in text


def test_a_certificate_whose_time_is_over(backend: str, tmp_path: Path) -> None:
    intake = TlsIntake()
    over = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    intake.certificate = intake.authority.issue_cert("127.0.0.1", not_after=over)
    text = refusal(backend, intake, TlsPolicy(authority_file(tmp_path, intake.authority)))
    assert "the certificate of 127.0.0.1 is not accepted: certificate has expired" in text


def test_an_intake_that_speaks_only_older_tls_is_refused(backend: str, tmp_path: Path) -> None:
    intake = TlsIntake(max_version=ssl.TLSVersion.TLSv1_2)
    file = authority_file(tmp_path, intake.authority)
    text = refusal(backend, intake, TlsPolicy(file, min_version="tlsv1.3"))
    assert "no TLS connection with 127.0.0.1: " in text
    assert "see DD_MIN_TLS_VERSION" in text
    assert send(backend, intake, TlsPolicy(file)).outcome is Outcome.DELIVERED


def test_an_intake_that_speaks_no_tls_at_all(backend: str) -> None:
    intake = ScriptedIntake()

    async def scenario() -> None:
        async with IntakeClient(ClientSettings(), quick) as client:
            await client.send(an_endpoint(intake.url.replace("http:", "https:")), a_payload())

    with pytest.raises(Unavailable, match=r"no TLS connection with 127\.0\.0\.1: ") as caught:
        run_on(backend, scenario, intake)
    assert not caught.value.maybe_delivered
