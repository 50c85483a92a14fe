"""The way to an intake, step by step, over real sockets, TLS and proxies."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.doctor.reach import Kind, Reach, parse_head, reach
from ddx_agent.testing import Ports
from ddx_core.clock import ns_per_s
from ddx_core.http import Hangup, Response
from ddx_core.intake import Proxy, TlsPolicy
from tests.support.forward_proxy import ForwardProxy
from tests.support.intake import ScriptedIntake, hang
from tests.support.tls_intake import TlsIntake

system_tls = TlsPolicy().make_context()
date = "Tue, 14 Nov 2023 22:13:20 GMT"
date_s = 1_700_000_000


async def go(
    url: str, *, proxy: Proxy | None = None, tls: ssl.SSLContext = system_tls, timeout_s: float = 5.0, **more: Any
) -> Reach:
    return await reach(url, proxy=proxy, tls=tls, timeout_s=timeout_s, **more)


def steps(reached: Reach) -> list[str]:
    return [step.name for step in reached.steps]


def failure(reached: Reach) -> tuple[str, Kind]:
    assert reached.failure is not None, reached
    return reached.failure.step, reached.failure.kind


@pytest.mark.parametrize("status", [200, 301, 403, 404, 500])
async def test_any_status_is_an_answer(nursery: trio.Nursery, status: int) -> None:
    intake = await ScriptedIntake([status]).start(nursery)
    reached = await go(f"{intake.url}/some path/ü".replace(" ", "%20"))
    assert (reached.failure, reached.status, steps(reached)) == (None, status, ["dns", "tcp", "http"])
    assert intake.requests[0].path == "/some path/ü"


async def test_the_answers_date_tells_how_far_the_clock_is_off(nursery: trio.Nursery) -> None:
    intake = await ScriptedIntake(otherwise=Response(status=404, headers=(("Date", date),))).start(nursery)
    reached = await go(intake.url, wall_clock=lambda: (date_s + 400) * ns_per_s)
    assert reached.ahead_s == 400


@pytest.mark.parametrize("written", ["", "yesterday", "Tue, 99 Nov 2023 22:13:20 GMT"])
async def test_an_answer_without_a_usable_date_says_nothing_of_the_clock(nursery: trio.Nursery, written: str) -> None:
    intake = await ScriptedIntake(otherwise=Response(status=404, headers=(("Date", written),))).start(nursery)
    assert (await go(intake.url)).ahead_s is None


async def test_a_name_that_nobody_knows_ends_the_way_at_dns() -> None:
    reached = await go("https://intake.invalid")
    assert failure(reached) == ("dns", Kind.NAME)
    assert reached.steps == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "ftp://127.0.0.1", "https://"])
async def test_a_url_that_is_none_is_told(url: str) -> None:
    assert failure(await go(url)) == ("url", Kind.ADDRESS)


async def test_a_name_that_no_resolver_takes_is_told() -> None:
    assert failure(await go(f"https://{'a' * 70}.invalid")) == ("dns", Kind.NAME)


async def test_a_closed_port_ends_the_way_at_tcp() -> None:
    reached = await go(f"http://127.0.0.1:{Ports.free().traces}")
    assert failure(reached) == ("tcp", Kind.CONNECT)
    assert reached.failure is not None
    assert reached.failure.text == "127.0.0.1: connection refused"
    assert steps(reached) == ["dns"]


async def test_an_intake_that_never_answers_costs_its_limit(nursery: trio.Nursery) -> None:
    intake = await ScriptedIntake([hang]).start(nursery)
    assert failure(await go(intake.url, timeout_s=0.1)) == ("http", Kind.TIMEOUT)


@pytest.mark.parametrize(
    "sent", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 20", b"HTTP/1.1 abc\r\n\r\n", b"x" * 70_000]
)
async def test_what_is_no_http_is_told(nursery: trio.Nursery, sent: bytes) -> None:
    intake = await ScriptedIntake([Hangup(sent=sent, reset=False)]).start(nursery)
    assert failure(await go(intake.url)) == ("http", Kind.ANSWER)


async def test_a_trusted_certificate_is_told(nursery: trio.Nursery) -> None:
    intake = await TlsIntake(http2=False).start(nursery)
    reached = await go(intake.url, tls=intake.client_tls)
    assert (reached.failure, steps(reached)) == (None, ["dns", "tcp", "tls", "http"])
    assert reached.certificate is not None
    assert reached.certificate.issuer.startswith("trustme")
    assert reached.is_verified


async def test_an_unknown_authority_is_untrusted_until_it_is_named(nursery: trio.Nursery, tmp_path: Path) -> None:
    intake = await TlsIntake(http2=False).start(nursery)
    assert failure(await go(intake.url)) == ("tls", Kind.UNTRUSTED)
    path = tmp_path / "authority.pem"
    intake.authority.cert_pem.write_to_path(str(path))
    assert (await go(intake.url, tls=TlsPolicy(str(path)).make_context())).status == 202


async def test_without_verification_the_way_is_open_and_says_so(nursery: trio.Nursery) -> None:
    intake = await TlsIntake(http2=False).start(nursery)
    reached = await go(intake.url, tls=TlsPolicy(verify=False).make_context())
    assert (reached.status, reached.is_verified, reached.certificate) == (202, False, None)


async def test_a_server_without_tls_is_told_as_such(nursery: trio.Nursery) -> None:
    intake = await ScriptedIntake().start(nursery)
    assert failure(await go(intake.url.replace("http://", "https://"))) == ("tls", Kind.TLS)


async def test_a_proxy_is_gone_through_with_its_credentials_which_nobody_is_told(nursery: trio.Nursery) -> None:
    intake = await TlsIntake(http2=False).start(nursery)
    proxy = await ForwardProxy(login="user:p@ssw/rd").start(nursery)
    reached = await go(intake.url, proxy=Proxy(proxy.url("user:p%40ssw%2Frd")), tls=intake.client_tls)
    assert (reached.failure, steps(reached)) == (None, ["dns", "tcp", "proxy", "tls", "http"])
    assert reached.proxy == proxy.url()
    assert proxy.targets == [f"127.0.0.1:{intake.port}"]


async def test_a_proxy_that_is_reached_by_tls_is_gone_through_too(nursery: trio.Nursery) -> None:
    intake = await TlsIntake(http2=False).start(nursery)
    proxy = await ForwardProxy(authority=intake.authority).start(nursery)
    reached = await go(intake.url, proxy=Proxy(proxy.url()), tls=intake.client_tls)
    assert (reached.failure, steps(reached)) == (None, ["dns", "tcp", "proxy tls", "proxy", "tls", "http"])


async def test_plain_http_goes_through_a_proxy_as_a_whole_url(nursery: trio.Nursery) -> None:
    intake = await ScriptedIntake([404]).start(nursery)
    proxy = await ForwardProxy(login="user:password").start(nursery)
    reached = await go(intake.url, proxy=Proxy(proxy.url("user:password")))
    assert (reached.failure, reached.status) == (None, 404)
    assert proxy.targets == [f"{intake.url}/"]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_other_credentials_is_told(nursery: trio.Nursery, scheme: str) -> None:
    proxy = await ForwardProxy(login="user:password").start(nursery)
    reached = await go(f"{scheme}://intake.invalid", proxy=Proxy(proxy.url("user:wrong")))
    assert reached.failure is not None
    assert reached.failure.kind is Kind.PROXY_CREDENTIALS
    assert "wrong" not in repr(reached)


async def test_a_proxy_that_forbids_the_target_is_told(nursery: trio.Nursery) -> None:
    proxy = await ForwardProxy([403]).start(nursery)
    reached = await go("https://intake.invalid", proxy=Proxy(proxy.url()))
    assert failure(reached) == ("proxy", Kind.PROXY)


@given(st.binary(max_size=200))
def test_any_head_is_read_or_refused(received: bytes) -> None:
    head = parse_head(b"HTTP/1.1 200 OK\r\n" + received + b"\r\n\r\n")
    assert head is not None
    assert head.status == 200
    parse_head(received)
