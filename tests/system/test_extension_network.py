"""A proxy with a password and intakes with a private certificate, with the real extension."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from ddx_agent.testing import Intake, open_intake
from tests.support.extension_world import World, open_world
from tests.support.forward_proxy import ForwardProxy

pytestmark = pytest.mark.system

hosts = ("metrics.example", "logs.example", "traces.example")


@asynccontextmanager
async def open_tls_intake(authority: trustme.CA) -> AsyncGenerator[tuple[Intake, int]]:
    """The embedded intake and the port at which TLS ends before it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate: Any = authority.issue_cert(*hosts, "127.0.0.1")
    certificate.configure_cert(context)

    async with open_intake() as intake:

        async def serve(outer: trio.SocketStream) -> None:
            stream = trio.SSLStream(outer, context, server_side=True, https_compatible=True)
            inner = await trio.open_tcp_stream("127.0.0.1", intake.port)
            async with inner, trio.open_nursery() as nursery:
                nursery.start_soon(pump, inner, stream, nursery.cancel_scope)
                await pump(stream, inner, nursery.cancel_scope)
            await trio.aclose_forcefully(stream)

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                trio.serve_tcp,
                serve,
                0,
            )
            yield intake, listeners[0].socket.getsockname()[1]
            nursery.cancel_scope.cancel()


async def pump(source: Any, sink: Any, scope: trio.CancelScope) -> None:
    try:
        while part := await source.receive_some(65536):
            await sink.send_all(part)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


def https_settings(port: int, host: str | None = None) -> dict[str, str]:
    metrics, logs, traces = (host or each for each in hosts)
    return {
        "DD_DD_URL": f"https://{metrics}:{port}",
        "DD_LOGS_CONFIG_LOGS_DD_URL": f"https://{logs}:{port}",
        "DD_APM_DD_URL": f"https://{traces}:{port}",
    }


def certificate_file(authority: trustme.CA, folder: Path) -> str:
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def tell_and_end(world: World) -> None:
    for number in range(2):
        await world.tell(f"i{number}", lines=2, metrics=5, spans=3)
    await world.end()


def assert_everything_is_at(intake: Intake, world: World) -> None:
    for number in range(2):
        assert len(intake.store.logs(contains=f"i{number} line")) == 2
    assert len(intake.store.spans(name="work")) == 6
    for signal in ("logs", "metrics", "traces"):
        assert world.account(signal)["held"]["items"] == 0
    assert not world.intake.store.requests()


async def test_a_private_certificate_is_trusted_when_its_file_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    async with open_tls_intake(authority) as (intake, port):
        settings = https_settings(port, "127.0.0.1") | {"DD_TLS_CERT_FILE": certificate_file(authority, tmp_path)}
        async with open_world(tmp_path, settings=settings) as world:
            await tell_and_end(world)
            assert_everything_is_at(intake, world)


async def test_an_unknown_certificate_gets_no_data_unless_validation_is_off(tmp_path: Path) -> None:
    async with open_tls_intake(trustme.CA()) as (intake, port):
        async with open_world(tmp_path, settings=https_settings(port, "127.0.0.1")) as world:
            await tell_and_end(world)
            assert not intake.store.requests()
            assert world.account("logs")["held"]["items"] > 0
        settings = https_settings(port, "127.0.0.1") | {"DD_SKIP_SSL_VALIDATION": "true"}
        async with open_world(tmp_path, settings=settings) as world:
            await tell_and_end(world)
            assert_everything_is_at(intake, world)


async def test_everything_goes_through_the_proxy_that_sees_none_of_it(tmp_path: Path) -> None:
    authority = trustme.CA()
    proxy = ForwardProxy(login="me:pass word")
    async with open_tls_intake(authority) as (intake, port), trio.open_nursery() as nursery:
        await proxy.start(nursery)
        settings = https_settings(port) | {
            "DD_PROXY_HTTPS": proxy.url("me:pass%20word"),
            "DD_TLS_CERT_FILE": certificate_file(authority, tmp_path),
        }
        async with open_world(tmp_path, settings=settings) as world:
            await tell_and_end(world)
            assert_everything_is_at(intake, world)
        assert {target.partition(":")[0] for target in proxy.targets} == set(hosts)
        assert b"i0 line" not in proxy.carried
        nursery.cancel_scope.cancel()


async def test_a_proxy_that_refuses_the_password_costs_time_and_no_data(tmp_path: Path) -> None:
    authority = trustme.CA()
    proxy = ForwardProxy(login="me:right")
    async with open_tls_intake(authority) as (intake, port), trio.open_nursery() as nursery:
        await proxy.start(nursery)
        settings = https_settings(port) | {
            "HTTPS_PROXY": proxy.url("me:WRONG-SECRET"),
            "DD_TLS_CERT_FILE": certificate_file(authority, tmp_path),
        }
        async with open_world(tmp_path, settings=settings) as world:
            await tell_and_end(world)
            assert not intake.store.requests()
            assert world.account("logs")["held"]["items"] > 0
            assert world.account("traces")["held"]["items"] == 6
            assert any("intake_unavailable" in line for line in world.said)
            assert not any("WRONG-SECRET" in line for line in world.said)
        nursery.cancel_scope.cancel()


async def test_hosts_without_a_proxy_are_reached_directly(tmp_path: Path) -> None:
    authority = trustme.CA()
    proxy = ForwardProxy()
    async with open_tls_intake(authority) as (intake, port), trio.open_nursery() as nursery:
        await proxy.start(nursery)
        settings = https_settings(port) | {
            "DD_LOGS_CONFIG_LOGS_DD_URL": f"https://127.0.0.1:{port}",
            "DD_PROXY_HTTPS": proxy.url(),
            "NO_PROXY": "127.0.0.1",
            "DD_TLS_CERT_FILE": certificate_file(authority, tmp_path),
        }
        async with open_world(tmp_path, settings=settings) as world:
            await tell_and_end(world)
            assert_everything_is_at(intake, world)
        assert {target.partition(":")[0] for target in proxy.targets} == {"metrics.example", "traces.example"}
        nursery.cancel_scope.cancel()
