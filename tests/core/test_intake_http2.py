"""IntakeClient over HTTP/2: what one shared connection does to deliveries, and to what is known of those that fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio

from ddx_core.errors import Unavailable
from ddx_core.intake import ClientSettings, Doubt, IntakeClient, Outcome, RetryPolicy, Sent
from tests.support.builders import KeyRing, a_payload, an_endpoint
from tests.support.cancel import cancel_at_every_step
from tests.support.clock import HandClock
from tests.support.intake import ScriptedIntake, run_on
from tests.support.tls_intake import Answer, Cut, Goaway, Reset, Step, TlsIntake, hang, late

quick = RetryPolicy(max_attempts=3, base_s=0.001, cap_s=0.01)
once = RetryPolicy(max_attempts=1)


def over_http2(intake: TlsIntake, policy: RetryPolicy = quick, *, clock: Any = None, **options: Any) -> IntakeClient:
    context = intake.client_tls
    given: dict[str, Any] = {"attempt_s": 10, "http2": True, "make_tls": lambda: context} | options
    settings = ClientSettings(**given)
    return IntakeClient(settings, policy, wall_clock=clock) if clock else IntakeClient(settings, policy)


def run_with(
    backend: str, intake: TlsIntake, scenario: Callable[[IntakeClient], Awaitable[Any]], **options: Any
) -> Any:
    async def main() -> Any:
        async with over_http2(intake, **options) as client:
            return await scenario(client)

    return run_on(backend, main, intake)


def send_twice(backend: str, *script: Step, policy: RetryPolicy = once, body: bytes = b"[2]", **options: Any) -> Any:
    """One send that makes the connection, and then the one in question, with the script; its result or its error."""
    intake = TlsIntake(**options)

    async def scenario(client: IntakeClient) -> Any:
        await client.send(an_endpoint(intake.url), a_payload())
        intake.then(*script)
        try:
            return await client.send(an_endpoint(intake.url), a_payload(body))
        except Unavailable as trouble:
            return trouble

    return run_with(backend, intake, scenario, policy=policy), intake


async def until_complete(intake: TlsIntake, count: int) -> None:
    while len(intake.complete) < count:  # noqa: ASYNC110 - no event crosses from thread to thread
        await anyio.sleep(0.005)


# --- delivery ---------------------------------------------------------------------------------------------------------


def test_a_request_carries_over_http2_what_the_payload_says(backend: str) -> None:
    intake = TlsIntake()

    async def scenario(client: IntakeClient) -> Sent:
        endpoint = an_endpoint(intake.url, key=KeyRing("secret"))
        return await client.send(endpoint, a_payload(b"\x28\xb5", path="/api/v2/logs?x=1", encoding="zstd"))

    sent = run_with(backend, intake, scenario)
    assert sent == Sent(outcome=Outcome.DELIVERED, status=202, attempts=1)
    (request,) = intake.requests
    assert (request.version, request.path, request.body) == ("HTTP/2", "/api/v2/logs?x=1", b"\x28\xb5")
    assert request.headers[":authority"] == f"127.0.0.1:{intake.port}"
    assert request.headers["dd-api-key"] == "secret"
    assert request.headers["content-encoding"] == "zstd"
    assert request.headers["content-length"] == "2"
    assert "host" not in request.headers


@pytest.mark.parametrize(("offered", "spoken"), [(False, True), (True, False)])
def test_http_1_is_spoken_where_either_side_knows_no_other(backend: str, offered: bool, spoken: bool) -> None:
    intake = TlsIntake(http2=spoken)

    async def scenario(client: IntakeClient) -> Sent:
        return await client.send(an_endpoint(intake.url), a_payload())

    assert run_with(backend, intake, scenario, http2=offered).outcome is Outcome.DELIVERED
    assert intake.requests[0].version == "HTTP/1.1"


def test_a_plain_intake_is_spoken_to_in_http_1(backend: str) -> None:
    intake = ScriptedIntake()

    async def scenario() -> Sent:
        async with IntakeClient(ClientSettings(http2=True)) as client:
            return await client.send(an_endpoint(intake.url), a_payload())

    assert run_on(backend, scenario, intake).outcome is Outcome.DELIVERED


def test_twenty_payloads_share_a_connection_at_the_same_time(backend: str) -> None:
    """No answer leaves before all twenty are there."""
    intake = TlsIntake(hold_until=21)
    bodies = [b"%d" % number for number in range(20)]

    async def scenario(client: IntakeClient) -> None:
        async with anyio.create_task_group() as group:
            for body in bodies:
                group.start_soon(client.send, an_endpoint(intake.url), a_payload(body))
            await until_complete(intake, 20)
            group.start_soon(client.send, an_endpoint(intake.url), a_payload(b"20"))

    run_with(backend, intake, scenario, max_connections=1)
    assert sorted(request.body for request in intake.complete) == sorted([*bodies, b"20"])
    assert intake.connections == 1


def test_an_intake_that_takes_few_requests_at_a_time_gets_them_one_after_the_other(backend: str) -> None:
    intake = TlsIntake(max_streams=2)

    async def scenario(client: IntakeClient) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(client.send, an_endpoint(intake.url), a_payload())

    run_with(backend, intake, scenario)
    assert (len(intake.complete), intake.connections) == (12, 1)


def test_large_payloads_side_by_side_arrive_whole(backend: str) -> None:
    intake = TlsIntake()
    bodies = [bytes([number]) * 300_000 for number in range(6)]

    async def scenario(client: IntakeClient) -> None:
        async with anyio.create_task_group() as group:
            for body in bodies:
                group.start_soon(client.send, an_endpoint(intake.url), a_payload(body))

    run_with(backend, intake, scenario)
    assert sorted(request.body for request in intake.complete) == bodies
    assert len(intake.requests) == 6


def test_a_window_that_opens_with_the_last_answer_due_is_made_use_of(backend: str) -> None:
    """One packet holds the first one's answer and the window that the second waits for; the first one reads it."""
    intake = TlsIntake(late_window=True)

    async def scenario(client: IntakeClient) -> None:
        endpoint = an_endpoint(intake.url)
        await client.send(endpoint, a_payload())
        intake.then(late)
        async with anyio.create_task_group() as group:
            group.start_soon(client.send, endpoint, a_payload(bytes(40_000)))
            await until_complete(intake, 2)
            group.start_soon(client.send, endpoint, a_payload(bytes(50_000)))

    run_with(backend, intake, scenario, attempt_s=30, policy=once)  # a stall would be cut off by the test's own limit
    assert [len(request.body) for request in intake.complete[1:]] == [40_000, 50_000]


# --- what is known when it fails --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 413])
def test_a_refusal_is_a_refusal(backend: str, status: int) -> None:
    sent, _ = send_twice(backend, status)
    assert (sent.outcome, sent.status) == (Outcome.REFUSED, status)


def test_a_refusal_before_the_body_is_complete_is_heard(backend: str) -> None:
    """The intake answers at the headers and opens no window: the rest of the body will never be asked for."""
    sent, intake = send_twice(backend, Answer(413, at_once=True), body=bytes(1 << 20), late_window=True)
    assert (sent.outcome, sent.status, sent.attempts) == (Outcome.REFUSED, 413, 1)
    assert not intake.requests[1].is_complete


@pytest.mark.parametrize("step", [Reset(7), Reset(7, at_once=True), Reset(2, at_once=True)])
def test_a_stream_that_was_reset_unprocessed_is_no_doubt(backend: str, step: Reset) -> None:
    body = bytes(1 << 20) if step.at_once else b"[2]"
    trouble, intake = send_twice(backend, step, body=body)
    assert isinstance(trouble, Unavailable)
    assert not trouble.maybe_delivered
    assert intake.connections == 1
    assert "test-key" not in str(trouble)


def test_a_stream_that_was_reset_later_is_in_doubt_and_counts_as_an_attempt(backend: str) -> None:
    trouble, _ = send_twice(backend, Reset(2))
    assert trouble.maybe_delivered
    assert "the intake has ended the request (HTTP/2 error 2) after 1 attempts" in str(trouble)
    sent, intake = send_twice(backend, Reset(2), policy=quick)
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 2, True)
    assert intake.connections == 1


def test_a_goaway_that_leaves_the_request_out_is_no_doubt(backend: str) -> None:
    sent, intake = send_twice(backend, Goaway(taken=False))
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 1, False)
    assert intake.connections == 2


def test_a_goaway_at_the_very_first_request_is_no_doubt(backend: str) -> None:
    intake = TlsIntake([Goaway(taken=False)])

    async def scenario(client: IntakeClient) -> Sent:
        return await client.send(an_endpoint(intake.url), a_payload())

    sent = run_with(backend, intake, scenario)
    assert (sent.outcome, sent.repeated) == (Outcome.DELIVERED, False)


def test_a_goaway_after_the_request_was_taken_leaves_a_doubt(backend: str) -> None:
    sent, intake = send_twice(backend, Goaway(taken=True))
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 1, True)
    assert intake.connections == 2


def test_an_answer_in_one_packet_with_a_goaway_counts_and_the_next_request_has_a_connection(backend: str) -> None:
    intake = TlsIntake([Answer(with_goaway=True)])

    async def scenario(client: IntakeClient) -> list[Sent]:
        return [await client.send(an_endpoint(intake.url), a_payload()) for _ in range(2)]

    sent = run_with(backend, intake, scenario)
    assert [(one.outcome, one.repeated) for one in sent] == [(Outcome.DELIVERED, False)] * 2
    assert (len(intake.requests), intake.connections) == (2, 2)


def test_a_connection_lost_in_the_midst_of_a_body_is_no_doubt(backend: str) -> None:
    sent, _ = send_twice(backend, Cut(after=100_000), body=bytes(4 << 20))
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 1, False)


def test_a_connection_lost_after_the_body_leaves_a_doubt(backend: str) -> None:
    sent, _ = send_twice(backend, Cut())
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 1, True)


def test_a_connection_lost_under_twenty_requests_is_in_doubt_for_each_and_all_arrive(backend: str) -> None:
    intake = TlsIntake([*[hang] * 19, Cut()])
    sent: list[Sent] = []

    async def scenario(client: IntakeClient) -> None:
        async def one(body: bytes) -> None:
            sent.append(await client.send(an_endpoint(intake.url), a_payload(body)))

        async with anyio.create_task_group() as group:
            for number in range(19):
                group.start_soon(one, b"%d" % number)
            await until_complete(intake, 19)
            group.start_soon(one, b"19")

    run_with(backend, intake, scenario)
    assert len(sent) == 20
    assert all(one.outcome is Outcome.DELIVERED and one.repeated for one in sent)
    assert len({request.body for request in intake.complete[20:]}) == 20
    assert intake.connections == 2


def test_an_intake_that_breaks_every_connection_costs_each_sharer_its_attempts(backend: str) -> None:
    """A connection that was opened while a request waited for it is no kept one that has died."""
    intake = TlsIntake(otherwise=Cut())
    reasons: list[str] = []

    async def scenario(client: IntakeClient) -> None:
        async def one() -> None:
            with pytest.raises(Unavailable) as caught:
                await client.send(an_endpoint(intake.url), a_payload())
            reasons.append(str(caught.value))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)

    run_with(backend, intake, scenario)
    assert len(reasons) == 5
    assert all("after 3 attempts" in reason for reason in reasons)
    assert intake.connections <= 5  # were they taken for kept ones, it would be 15


def test_after_a_freeze_a_shared_connection_is_opened_anew(backend: str) -> None:
    intake = TlsIntake()
    clock = HandClock()

    async def scenario(client: IntakeClient) -> None:
        await client.send(an_endpoint(intake.url), a_payload())
        clock.advance(3600)
        await client.send(an_endpoint(intake.url), a_payload())

    run_with(backend, intake, scenario, clock=clock)
    assert intake.connections == 2


def test_requests_under_way_in_a_freeze_are_all_replaced_soon_after_it(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddx_core.intake.running_time.thaw_grace_s", 0.1)
    monkeypatch.setattr("ddx_core.intake.running_time.tick_s", 0.1)
    intake = TlsIntake([hang] * 5)
    clock = HandClock()
    sent: list[Sent] = []

    async def scenario(client: IntakeClient) -> None:
        async def one() -> None:
            sent.append(await client.send(an_endpoint(intake.url), a_payload()))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
            await until_complete(intake, 5)
            clock.advance(3600)

    run_with(backend, intake, scenario, clock=clock, policy=once, attempt_s=30)
    assert [(one.attempts, one.repeated) for one in sent] == [(1, True)] * 5


@pytest.mark.parametrize("key", ["with\nnewline", "with\r\nInjected: header", "ümlaut"])
def test_a_key_that_is_no_header_is_not_shown_over_http2_either(backend: str, key: str) -> None:
    trouble: list[Unavailable] = []
    intake = TlsIntake()

    async def scenario(client: IntakeClient) -> None:
        try:
            await client.send(an_endpoint(intake.url, key=KeyRing(key)), a_payload())
        except Unavailable as error:
            trouble.append(error)
        await client.send(an_endpoint(intake.url), a_payload())

    run_with(backend, intake, scenario)
    assert "injected" not in {header for request in intake.requests for header in request.headers}
    assert trouble
    assert not trouble[0].maybe_delivered
    assert key not in str(trouble[0])


async def test_cancelled_at_any_step_a_send_leaves_a_client_that_works(nursery: trio.Nursery) -> None:
    intake = await TlsIntake().start(nursery)
    endpoint = an_endpoint(intake.url)
    doubt = Doubt()
    complete_before = 0

    async with over_http2(intake, max_connections=1) as client:

        async def operation() -> None:
            nonlocal doubt, complete_before
            doubt = Doubt()
            complete_before = len(intake.complete)
            async with trio.open_nursery() as sending:
                sending.start_soon(client.send, endpoint, a_payload(bytes(100)))
                await client.send(endpoint, a_payload(b"judged"), doubt=doubt)

        async def check(completed: bool) -> None:
            arrived = any(request.body == b"judged" for request in intake.complete[complete_before:])
            assert completed or not arrived or doubt.maybe_delivered
            with trio.fail_after(5):
                assert (await client.send(endpoint, a_payload())).outcome is Outcome.DELIVERED

        assert await cancel_at_every_step(operation, check) > 10
