"""IntakeClient through a real forward proxy, to plain and TLS intakes, on both event loops."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trustme

from ddx_core.errors import Unavailable
from ddx_core.intake import ClientSettings, IntakeClient, Outcome, ProxyRules, RetryPolicy, Sent
from tests.support.builders import a_payload, an_endpoint
from tests.support.forward_proxy import ForwardProxy, Step, close, hang
from tests.support.intake import ScriptedIntake, run_on
from tests.support.tls_intake import TlsIntake

quick = RetryPolicy(max_attempts=3, base_s=0.001, cap_s=0.01)
name = "intake.example.test"
"""A target on this machine would not go through any proxy."""


def tls_intake(**options: Any) -> TlsIntake:
    return TlsIntake(host=name, **options)


def sent_through(
    backend: str,
    proxy: ForwardProxy,
    intake: TlsIntake | ScriptedIntake,
    *,
    login: str | None = None,
    settings: dict[str, Any] | None = None,
    payloads: int = 1,
) -> list[Sent]:
    async def scenario() -> list[Sent]:
        rules = ProxyRules(https=proxy.url(login), http=proxy.url(login))
        options: dict[str, Any] = {"attempt_s": 10, "proxies": rules}
        if isinstance(intake, TlsIntake):
            options["make_tls"] = lambda: context
            context = intake.client_tls
            if proxy.authority is not None:
                authority: Any = proxy.authority
                authority.configure_trust(context)
        async with IntakeClient(ClientSettings(**options | (settings or {})), quick) as client:
            url = intake.url.replace("127.0.0.1", name)
            return [await client.send(an_endpoint(url), a_payload(b"the secret body")) for _ in range(payloads)]

    return run_on(backend, scenario, intake, proxy)


@pytest.mark.parametrize("http2", [False, True])
def test_a_tls_intake_behind_a_proxy_gets_what_the_proxy_cannot_read(backend: str, http2: bool) -> None:
    proxy, intake = ForwardProxy(), tls_intake()
    sent = sent_through(backend, proxy, intake, settings={"http2": http2}, payloads=3)
    assert [(one.outcome, one.attempts) for one in sent] == [(Outcome.DELIVERED, 1)] * 3
    assert [request.body for request in intake.requests] == [b"the secret body"] * 3
    assert {request.version for request in intake.requests} == {"HTTP/2" if http2 else "HTTP/1.1"}
    assert proxy.targets == [f"{name}:{intake.port}"]  # one tunnel, kept
    assert b"\r\nUser-Agent: ddx" in proxy.requests[0]
    assert b"secret body" not in proxy.carried
    assert b"test-key" not in proxy.carried + proxy.requests[0]


def test_a_plain_intake_behind_a_proxy_is_asked_for_in_absolute_form(backend: str) -> None:
    proxy, intake = ForwardProxy(), ScriptedIntake()
    (sent,) = sent_through(backend, proxy, intake)
    assert sent.outcome is Outcome.DELIVERED
    assert proxy.forwarded == 1
    assert proxy.targets[0].startswith(f"http://{name}:")
    assert intake.bodies == [b"the secret body"]
    assert "proxy-authorization" not in intake.requests[0].headers


def test_a_proxy_behind_tls_itself(backend: str) -> None:
    proxy, intake = ForwardProxy(authority=trustme.CA()), tls_intake()
    (sent,) = sent_through(backend, proxy, intake, settings={"http2": True})
    assert (sent.outcome, proxy.tunnels) == (Outcome.DELIVERED, 1)


@pytest.mark.parametrize("plain", [False, True])
def test_a_proxy_that_wants_a_password_gets_it_and_nobody_else_does(backend: str, plain: bool) -> None:
    proxy = ForwardProxy(login="me:p@ss/w:rd#")
    intake = ScriptedIntake() if plain else tls_intake()
    (sent,) = sent_through(backend, proxy, intake, login="me:p%40ss%2Fw%3Ard%23")
    assert sent.outcome is Outcome.DELIVERED


@pytest.mark.parametrize("login", [None, "me:wrong-secret"])
@pytest.mark.parametrize("plain", [False, True])
def test_without_the_right_password_the_payload_waits_and_the_reason_is_told(
    backend: str, login: str | None, plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = ForwardProxy(login="me:right-secret")
    intake = ScriptedIntake() if plain else tls_intake()
    with pytest.raises(Unavailable) as caught:
        sent_through(backend, proxy, intake, login=login)
    text = str(caught.value)
    assert f"the proxy 127.0.0.1:{proxy.port} refused: 407" in text
    assert "the password of the proxy" in text
    assert "secret" not in text + caplog.text
    assert not caught.value.maybe_delivered
    assert caught.value.attempted
    assert len(proxy.requests) == 1  # the same answer would come again
    assert not intake.requests


@pytest.mark.parametrize(
    ("step", "reason", "requests"),
    [
        (403, "refused: 403 Forbidden", 1),
        (502, "refused: 502 Bad Gateway", 3),
        (close, "gave no tunnel: RemoteProtocolError Server disconnected", 3),
    ],
)
def test_a_proxy_that_gives_no_tunnel_leaves_no_doubt(backend: str, step: Step, reason: str, requests: int) -> None:
    proxy, intake = ForwardProxy([step] * 10), tls_intake()
    with pytest.raises(Unavailable) as caught:
        sent_through(backend, proxy, intake)
    assert f"the proxy 127.0.0.1:{proxy.port} {reason}" in str(caught.value)
    assert not caught.value.maybe_delivered
    assert len(proxy.requests) == requests
    assert not intake.connections


def test_trouble_of_a_proxy_that_passes_costs_an_attempt_only(backend: str) -> None:
    proxy, intake = ForwardProxy([502, close]), tls_intake()
    (sent,) = sent_through(backend, proxy, intake)
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 3, False)


def test_a_proxy_that_hangs_is_named(backend: str) -> None:
    proxy, intake = ForwardProxy([hang] * 3), tls_intake()
    with pytest.raises(Unavailable) as caught:
        sent_through(backend, proxy, intake, settings={"attempt_s": 0.1})
    assert f"no answer from the proxy 127.0.0.1:{proxy.port} within 0.1 s" in str(caught.value)
    assert not caught.value.maybe_delivered


def test_a_proxy_that_is_not_there_is_named_without_its_password(backend: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def scenario() -> None:
            rules = ProxyRules(https=f"http://me:secret@127.0.0.1:{port}")
            async with IntakeClient(ClientSettings(proxies=rules), quick) as client:
                await client.send(an_endpoint(f"https://{name}"), a_payload())

        with pytest.raises(Unavailable) as caught:
            run_on(backend, scenario)
    assert f"the proxy 127.0.0.1:{port} cannot be reached: ConnectError" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not caught.value.maybe_delivered


def test_hosts_that_are_excepted_are_reached_directly(backend: str) -> None:
    """Both targets lead nowhere but through the proxy: only the one that is not excepted arrives."""
    proxy, intake = ForwardProxy(), tls_intake()

    async def scenario() -> None:
        rules = ProxyRules(https=proxy.url(), no_proxy=("direct.invalid",))
        context = intake.client_tls
        settings = ClientSettings(proxies=rules, make_tls=lambda: context)
        async with IntakeClient(settings, RetryPolicy(max_attempts=1)) as client:
            assert (await client.send(an_endpoint(intake.url), a_payload())).outcome is Outcome.DELIVERED
            with pytest.raises(Unavailable) as caught:
                await client.send(an_endpoint(f"https://direct.invalid:{intake.port}"), a_payload())
            assert "proxy" not in str(caught.value)

    run_on(backend, scenario, intake, proxy)
    assert proxy.targets == [f"{name}:{intake.port}"]


def test_this_machine_is_reached_directly(backend: str) -> None:
    proxy, intake = ForwardProxy(), ScriptedIntake()

    async def scenario() -> None:
        async with IntakeClient(ClientSettings(proxies=ProxyRules(http=proxy.url()))) as client:
            await client.send(an_endpoint(intake.url), a_payload())

    run_on(backend, scenario, intake, proxy)
    assert (len(intake.requests), proxy.requests) == (1, [])


def test_handshakes_that_fail_behind_a_proxy_use_no_connection_up(backend: str) -> None:
    proxy, intake = ForwardProxy(), tls_intake()

    async def scenario() -> None:
        rules = ProxyRules(https=proxy.url())
        async with IntakeClient(ClientSettings(proxies=rules, max_connections=1, attempt_s=5), quick) as client:
            for _ in range(3):
                with pytest.raises(
                    Unavailable, match=rf"the certificate of {name} is not accepted: .*DD_TLS_CERT_FILE"
                ):
                    await client.send(an_endpoint(intake.url), a_payload())

    run_on(backend, scenario, intake, proxy)
    assert len(proxy.requests) == 3


def test_a_proxy_whose_certificate_is_unknown_is_named(backend: str) -> None:
    proxy, intake = ForwardProxy(authority=trustme.CA()), tls_intake()

    async def scenario() -> None:
        context = intake.client_tls
        settings = ClientSettings(proxies=ProxyRules(https=proxy.url()), make_tls=lambda: context)
        async with IntakeClient(settings, quick) as client:
            await client.send(an_endpoint(intake.url), a_payload())

    with pytest.raises(Unavailable, match=r"the certificate of 127\.0\.0\.1:\d+ is not accepted"):
        run_on(backend, scenario, intake, proxy)
