"""Connections of the IntakeClient: kept, replaced after a freeze, bounded, and closed whatever is cancelled."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
import trustme

from ddx_core.errors import Unavailable
from ddx_core.http import Hangup, Request, Response
from ddx_core.intake import ApiKey, ClientSettings, Doubt, IntakeClient, Outcome, RetryPolicy, Sent
from tests.support.builders import a_payload, an_endpoint
from tests.support.cancel import cancel_at_every_step
from tests.support.clock import HandClock
from tests.support.intake import ScriptedIntake, hang, requests_at, run_on

quick = RetryPolicy(max_attempts=4, base_s=0.001, cap_s=0.01)
patient = ClientSettings(attempt_s=10)


# --- kept connections and frozen time ---------------------------------------------------------------------------------


def test_a_kept_connection_that_died_is_replaced_without_spending_an_attempt(backend: str) -> None:
    """The intake resets the kept connection when the second request comes: there is no telling whether it was read."""
    intake = ScriptedIntake([202, Hangup()])

    async def scenario() -> Sent:
        async with IntakeClient(patient, RetryPolicy(max_attempts=1)) as client:
            endpoint = an_endpoint(intake.url)
            await client.send(endpoint, a_payload())
            return await client.send(endpoint, a_payload())

    sent = run_on(backend, scenario, intake)
    assert (sent.outcome, sent.attempts) == (Outcome.DELIVERED, 1)
    assert sent.repeated


def test_a_connection_that_was_closed_meanwhile_is_no_doubt(backend: str) -> None:
    intake = ScriptedIntake(otherwise=Response(status=202, close=True))

    async def scenario() -> Sent:
        async with IntakeClient(patient, RetryPolicy(max_attempts=1)) as client:
            endpoint = an_endpoint(intake.url)
            await client.send(endpoint, a_payload())
            return await client.send(endpoint, a_payload())

    sent = run_on(backend, scenario, intake)
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 1, False)


def test_an_intake_that_only_ever_breaks_kept_connections_does_not_hold_us_for_ever(backend: str) -> None:
    intake = ScriptedIntake(otherwise=Hangup())

    async def scenario() -> None:
        async with IntakeClient(ClientSettings(max_connections=2), quick) as client:
            await client.send(an_endpoint(intake.url), a_payload())

    with pytest.raises(Unavailable) as caught:
        run_on(backend, scenario, intake)
    assert caught.value.maybe_delivered
    assert len(intake.requests) == quick.max_attempts


@pytest.mark.parametrize(("seconds", "connections"), [(1.0, 1), (60.0, 2), (7 * 24 * 3600.0, 2), (-60.0, 2)])
def test_after_a_freeze_connections_are_opened_anew(backend: str, seconds: float, connections: int) -> None:
    intake = ScriptedIntake()
    clock = HandClock()

    async def scenario() -> None:
        async with IntakeClient(patient, quick, wall_clock=clock) as client:
            endpoint = an_endpoint(intake.url)
            await client.send(endpoint, a_payload())
            clock.advance(seconds)  # the monotonic clock has stood still
            await client.send(endpoint, a_payload())

    run_on(backend, scenario, intake)
    assert intake.connections == connections


def test_a_request_under_way_in_a_freeze_is_replaced_soon_after_it(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer has forgotten the connection without a word. The attempt has 30 s, of which nobody should wait for more."""
    monkeypatch.setattr("ddx_core.intake.running_time.thaw_grace_s", 0.1)
    monkeypatch.setattr("ddx_core.intake.running_time.tick_s", 0.1)
    intake = ScriptedIntake([hang])
    clock = HandClock()

    async def scenario() -> Sent:
        async with IntakeClient(ClientSettings(attempt_s=30), RetryPolicy(max_attempts=1), wall_clock=clock) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(freeze)
                return await client.send(an_endpoint(intake.url), a_payload())
            raise AssertionError

    async def freeze() -> None:
        await requests_at(intake, 1)
        clock.advance(3600)

    sent = run_on(backend, scenario, intake)
    assert (sent.attempts, sent.repeated) == (1, True)


def test_a_process_that_freezes_in_every_attempt_gives_up_in_the_end(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("thaw_grace_s", "tick_s"):
        monkeypatch.setattr(f"ddx_core.intake.running_time.{name}", 0.05)
    clock = HandClock()

    def freeze(request: Request) -> str:
        clock.advance(3600)
        return hang

    intake = ScriptedIntake(otherwise=freeze)

    async def scenario() -> None:
        settings = ClientSettings(attempt_s=30, max_connections=2)
        async with IntakeClient(settings, RetryPolicy(max_attempts=1), wall_clock=clock) as client:
            with pytest.raises(Unavailable):
                await client.send(an_endpoint(intake.url), a_payload())

    run_on(backend, scenario, intake)
    assert len(intake.requests) == 4  # three connections replaced at no cost, and the one attempt


# --- bounds and cancellation ------------------------------------------------------------------------------------------


def test_connections_to_one_endpoint_are_bounded(backend: str) -> None:
    intake = ScriptedIntake()

    async def scenario() -> None:
        async with IntakeClient(ClientSettings(max_connections=2)) as client, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(client.send, an_endpoint(intake.url), a_payload())

    run_on(backend, scenario, intake)
    assert len(intake.requests) == 20
    assert intake.connections <= 2


def test_an_endpoint_that_hangs_takes_no_connection_from_another(backend: str) -> None:
    intake, hanging = ScriptedIntake(), ScriptedIntake(otherwise=hang)

    async def scenario() -> None:
        async with IntakeClient(ClientSettings(max_connections=2)) as client, anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(client.send, an_endpoint(hanging.url, name="hanging"), a_payload())
            await requests_at(hanging, 2)
            assert (await client.send(an_endpoint(intake.url), a_payload())).outcome is Outcome.DELIVERED
            group.cancel_scope.cancel()

    run_on(backend, scenario, intake, hanging)


def test_many_cancelled_sends_use_no_connection_up(backend: str) -> None:
    """Whatever a cancelled attempt leaves in its pool, the next sends get through, with as few connections as allowed."""
    intake = ScriptedIntake([hang] * 6)

    async def scenario() -> Sent:
        async with IntakeClient(ClientSettings(max_connections=2)) as client:
            endpoint = an_endpoint(intake.url)
            for number in range(6):
                async with anyio.create_task_group() as group:
                    group.start_soon(client.send, endpoint, a_payload())
                    await requests_at(intake, number + 1)
                    group.cancel_scope.cancel()
            return await client.send(endpoint, a_payload())

    assert run_on(backend, scenario, intake).outcome is Outcome.DELIVERED


def test_a_send_cancelled_while_it_waits_for_a_connection_uses_none_up(backend: str) -> None:
    """The pool may just have given a new connection to the one that waits: nobody would ever open, or close, it."""
    intake = ScriptedIntake([hang])

    async def scenario() -> Sent:
        async with IntakeClient(ClientSettings(max_connections=1)) as client:
            endpoint = an_endpoint(intake.url)
            async with anyio.create_task_group() as group:
                group.start_soon(client.send, endpoint, a_payload())
                await requests_at(intake, 1)
                group.start_soon(client.send, endpoint, a_payload())
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            return await client.send(endpoint, a_payload())

    assert run_on(backend, scenario, intake).outcome is Outcome.DELIVERED


async def test_a_body_that_was_never_complete_is_no_doubt(nursery: trio.Nursery) -> None:
    async def reset_early(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, reset_early, 0)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with IntakeClient(patient, quick) as client:
        with pytest.raises(Unavailable) as caught:
            await client.send(an_endpoint(url), a_payload(bytes(20 << 20)))
    assert not caught.value.maybe_delivered


async def test_cancelled_at_any_step_a_send_leaves_a_client_that_works(nursery: trio.Nursery) -> None:
    intake = await ScriptedIntake().start(nursery)
    endpoint = an_endpoint(intake.url)
    doubt = Doubt()
    requests_before = 0

    async with IntakeClient(ClientSettings(max_connections=1), quick) as client:

        async def operation() -> None:
            nonlocal doubt, requests_before
            doubt = Doubt()
            requests_before = len(intake.requests)
            await client.send(endpoint, a_payload(), doubt=doubt)

        async def check(completed: bool) -> None:
            # What the intake has may be in doubt, but never unknown; and the only connection is free again.
            if not completed and len(intake.requests) > requests_before:
                assert doubt.maybe_delivered
            with trio.fail_after(5):
                assert (await client.send(endpoint, a_payload())).outcome is Outcome.DELIVERED

        assert await cancel_at_every_step(operation, check) > 5


@pytest.mark.parametrize("close", [False, True])
async def test_cancelled_at_any_step_two_sends_on_one_connection_use_it_up_never(
    nursery: trio.Nursery, close: bool
) -> None:
    """When the first one's connection is closed, the pool makes a new one for the second, cancelled at that very moment."""
    intake = await ScriptedIntake(otherwise=Response(status=202, close=close)).start(nursery)
    endpoint = an_endpoint(intake.url)

    async with IntakeClient(ClientSettings(max_connections=1), quick) as client:

        async def operation() -> None:
            async with trio.open_nursery() as sending:
                sending.start_soon(client.send, endpoint, a_payload())
                sending.start_soon(client.send, endpoint, a_payload())

        async def check(completed: bool) -> None:
            with trio.fail_after(5):
                assert (await client.send(endpoint, a_payload())).outcome is Outcome.DELIVERED

        assert await cancel_at_every_step(operation, check) > 10


async def test_cancelled_at_any_step_of_a_new_tls_connection_nothing_stays_open(nursery: trio.Nursery) -> None:
    authority = trustme.CA()
    certificate: Any = authority.issue_cert("127.0.0.1")
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server_tls)
    client_tls = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    answered = 0

    async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
        nonlocal answered
        try:
            while await stream.receive_some(65536):
                answered += 1
                await stream.send_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    listeners: list[Any] = await nursery.start(trio.serve_ssl_over_tcp, answer, 0, server_tls)
    url = f"https://127.0.0.1:{listeners[0].transport_listener.socket.getsockname()[1]}"

    async def operation() -> None:
        async with IntakeClient(ClientSettings(make_tls=lambda: client_tls), RetryPolicy(max_attempts=1)) as client:
            await client.send(an_endpoint(url), a_payload())

    # An open socket that is forgotten is a ResourceWarning, and a warning is an error.
    assert await cancel_at_every_step(operation, lambda completed: None) > 10
    assert answered


def test_the_certificate_store_is_read_once(backend: str) -> None:
    made = 0
    clock = HandClock()

    def make_tls() -> ssl.SSLContext:
        nonlocal made
        made += 1
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def scenario() -> None:
        async with IntakeClient(
            ClientSettings(make_tls=make_tls), RetryPolicy(max_attempts=1), wall_clock=clock
        ) as client:
            client.warm_up(tls=True)
            for _ in range(3):
                clock.advance(60)
                with pytest.raises(Unavailable):
                    await client.send(an_endpoint("https://127.0.0.1:1"), a_payload())

    run_on(backend, scenario)
    assert made == 1


def test_a_key_source_may_be_anything_that_has_the_two_methods(backend: str) -> None:
    class Vault:
        async def get(self) -> ApiKey | None:
            await anyio.lowlevel.checkpoint()
            return ApiKey("from the vault")

        async def refused(self, key: ApiKey) -> bool:
            return False

    intake = ScriptedIntake([403])

    async def scenario() -> Sent:
        async with IntakeClient() as client:
            return await client.send(an_endpoint(intake.url, key=Vault()), a_payload())

    assert run_on(backend, scenario, intake).outcome is Outcome.REFUSED
