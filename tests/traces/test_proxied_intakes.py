"""Requests for other intakes: answered at once, sent at a flush, each intake by itself, bounded over all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import trio
from trio.testing import MockClock

from ddx_core.http import Routes, open_tcp_listener, serve_http
from ddx_core.intake import ClientSettings, Endpoint, IntakeClient, RetryPolicy, StaticKey, open_fanout
from ddx_core.pipeline import FlushKind
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_traces.proxy import Outbox, ProxiedIntakes, ProxySettings
from tests.support.cancel import cancel_at_every_step
from tests.support.clock import passing
from tests.support.intake import ScriptedIntake, hang

from .support import HttpClient

profile = "/profiling/v1/input"
telemetry = "/telemetry/proxy/api/v2/apmtelemetry"


class Rig:
    """The intakes of profiles (two endpoints) and of telemetry, and a library's connection to the trace agent."""

    def __init__(self, settings: ProxySettings) -> None:
        self.profiles = ScriptedIntake()
        self.more_profiles = ScriptedIntake()
        self.telemetry = ScriptedIntake()
        self.datagrams: list[bytes] = []
        self.client = IntakeClient(ClientSettings(attempt_s=5.0), RetryPolicy(max_attempts=1))
        self.proxied = ProxiedIntakes(
            settings,
            open_outbox=self._open,
            tags=TagSet([("functionname", "orders")]),
            new_id=lambda: "id",
            take_datagrams=self.datagrams.extend,
        )
        self.opened: list[str] = []
        self.library: HttpClient

    def _open(self, target: str) -> Outbox | None:
        if target.startswith("evp-none"):
            return None
        self.opened.append(target)
        places = [self.profiles, self.more_profiles] if target == "profiles" else [self.telemetry]
        endpoints = [
            Endpoint(name=f"{target}-{number}", base_url=place.url, key=StaticKey(f"key{number}"))
            for number, place in enumerate(places, 1)
        ]
        account = Account(target)
        return Outbox(account, open_fanout(account, endpoints, self.client, max_bytes=1 << 20))

    def check(self) -> None:
        for account in self.proxied.accounts:
            assert account.snapshot().closes, account.snapshot()

    def account(self, name: str) -> tuple[int, int, int]:
        """accepted, delivered, held"""
        (found,) = (account.snapshot() for account in self.proxied.accounts if account.name == name)
        return found.accepted.items, found.delivered.items, found.held.items


@asynccontextmanager
async def open_rig(settings: ProxySettings | None = None) -> AsyncGenerator[Rig]:
    rig = Rig(settings or ProxySettings(additional_tags="_dd.origin:lambda;functionname:orders"))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            for intake in (rig.profiles, rig.more_profiles, rig.telemetry):
                await intake.start(nursery)
            await stack.enter_async_context(rig.client)
            listener = await open_tcp_listener("127.0.0.1", 0)
            await nursery.start(serve_http, [listener], Routes(rig.proxied.routes()))
            rig.library = await HttpClient.connect(listener.socket.getsockname()[1])
            await stack.enter_async_context(rig.library.stream)
            yield rig
            rig.check()
            nursery.cancel_scope.cancel()


async def test_a_profile_is_acknowledged_at_once_and_sent_to_both_endpoints_with_their_keys() -> None:
    async with open_rig() as rig:
        headers = {"Content-Type": "multipart/form-data; boundary=b", "User-Agent": "lib/1", "DD-API-KEY": "theirs"}
        answer = await rig.library.ask("POST", f"{profile}?a=1", b"profile", headers)
        assert (answer.status, answer.body) == (200, b"Acknowledged request for profiling")
        assert rig.account("profiles") == (1, 0, 1)
        assert not rig.profiles.requests
        await rig.proxied.flush(FlushKind.BLOCKING)
        assert rig.account("profiles") == (1, 1, 0)
        assert rig.account("profiles@profiles-2") == (1, 1, 0)
        for intake, key in ((rig.profiles, "key1"), (rig.more_profiles, "key2")):
            (request,) = intake.requests
            assert (request.path, request.query, request.body) == ("/api/v2/profile", "a=1", b"profile")
            assert request.headers.all("dd-api-key") == [key]
            assert request.headers.all("user-agent") == ["lib/1"]
            assert request.headers["content-type"] == "multipart/form-data; boundary=b"
            assert request.headers["x-datadog-additional-tags"] == "_dd.origin:lambda;functionname:orders"


async def test_one_intake_in_trouble_neither_delays_nor_loses_what_is_for_another(standing_clock: MockClock) -> None:
    async with open_rig() as rig:

        def others_are_through() -> bool:
            through = (1, 1, 0)
            return rig.account("telemetry") == rig.account("profiles@profiles-2") == through and bool(
                rig.profiles.requests
            )

        rig.profiles.then(hang, 503)
        await rig.library.ask("POST", profile, b"profile")
        await rig.library.ask("POST", telemetry, b"{}")
        async with passing(1.0, when=others_are_through):
            with trio.move_on_after(1.0):
                await rig.proxied.flush(FlushKind.BLOCKING)
        assert [request.path for request in rig.telemetry.requests] == ["/api/v2/apmtelemetry"]
        assert rig.account("telemetry") == (1, 1, 0)
        assert rig.account("profiles") == (1, 0, 1)
        assert rig.account("profiles@profiles-2") == (1, 1, 0)
        await rig.proxied.flush(FlushKind.BACKGROUND)
        assert rig.account("profiles") == (1, 0, 1)
        await rig.proxied.flush(FlushKind.FINAL)
        assert rig.account("profiles") == (1, 1, 0)


async def test_what_waits_is_bounded_over_all_intakes_and_libraries_are_told() -> None:
    async with open_rig(ProxySettings(max_buffer_bytes=10_000, max_request_bytes=8_000)) as rig:
        assert (await rig.library.ask("POST", profile, bytes(6_000))).status == 200
        assert (await rig.library.ask("POST", telemetry, bytes(3_000))).status == 200
        answer = await rig.library.ask("POST", telemetry, bytes(2_000))
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        await rig.proxied.flush(FlushKind.BLOCKING)
        assert (await rig.library.ask("POST", telemetry, bytes(2_000))).status == 200
        assert (await rig.library.ask("POST", telemetry, bytes(8_001))).status == 413


async def test_a_request_that_names_no_intake_is_refused_with_the_reason() -> None:
    async with open_rig() as rig:
        answer = await rig.library.ask("POST", "/evp_proxy/v2/api/v2/spans", b"{}")
        assert (answer.status, b"X-Datadog-EVP-Subdomain" in answer.body) == (400, True)
        answer = await rig.library.ask("POST", "/evp_proxy/v2/x", b"{}", {"X-Datadog-EVP-Subdomain": "none-such"})
        assert (answer.status, b"none-such" in answer.body) == (400, True)
        assert rig.opened == []


async def test_there_is_an_end_to_the_intakes_a_library_can_name() -> None:
    async with open_rig() as rig:
        statuses = [
            (await rig.library.ask("POST", "/evp_proxy/v2/x", b"{}", {"X-Datadog-EVP-Subdomain": f"s{number}"})).status
            for number in range(40)
        ]
        assert statuses == [200] * 32 + [400] * 8


async def test_dogstatsd_over_http_is_taken_line_by_line() -> None:
    async with open_rig() as rig:
        answer = await rig.library.ask("POST", "/dogstatsd/v2/proxy", b"a:1|c\nb:2|g\n\n" + b"x" * 9_000)
        assert answer.status == 200
        assert rig.datagrams == [b"a:1|c", b"b:2|g"]


async def test_a_flush_that_is_cancelled_anywhere_loses_and_doubles_nothing() -> None:
    async with open_rig() as rig:
        count = 0

        async def operation() -> None:
            nonlocal count
            count += 1
            await rig.library.ask("POST", telemetry, b"%d" % count)
            await rig.proxied.flush(FlushKind.BLOCKING)

        async def check(_: bool) -> None:
            rig.check()

        await cancel_at_every_step(operation, check)
        await rig.proxied.flush(FlushKind.FINAL)
        accepted, delivered, held = rig.account("telemetry")
        assert (accepted, held) == (delivered, 0)
        assert len(set(rig.telemetry.bodies)) == delivered
